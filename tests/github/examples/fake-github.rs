//! A GitHub on this machine, to try definitions against: `cargo run --example fake-github -- 127.0.0.1:8099 acme/shop`.
//! It has one issue with the label `ai-ready`, says what it is asked, and ends with Ctrl+C.

use std::time::Duration;

use atta_fake_github::{Fake, TOKEN};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8099".to_owned());
    let repo = arguments.next().unwrap_or_else(|| "acme/shop".to_owned());
    let fake = Fake::start_on(&address);
    fake.state(|state| {
        let mut repo = state.repo(&repo);
        repo.data().collaborators.insert("ada".to_owned());
        let number = repo.open_issue("ada", "The sum is wrong", "1 + 1 gives 3.");
        repo.label(number, "ai-ready");
    });
    println!("github.api_url is {}, the repository {repo}, a token {TOKEN}", fake.url());
    let mut said = 0;
    loop {
        for asked in fake.log().into_iter().skip(said) {
            println!("{} {} {} {}", asked.status, asked.method, asked.path, asked.body);
            said += 1;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
