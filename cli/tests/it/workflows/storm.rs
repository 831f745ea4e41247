//! Many issues at once, while GitHub fails at random and the server is killed again and again.
//!
//! `make test` does a small one. `make storm` does the whole: `ATTA_STORM_ISSUES`, `ATTA_STORM_KILLS` and `ATTA_STORM_SEED` say how
//! much of it, and with which dice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atta_fake_github::{Fault, Rule};

use super::world::{REPO, World};
use crate::dice::Dice;
use crate::live_server::{number, wait_at_most};

/// How issues go, over and over.
const MODES: [&str; 6] = ["plain", "mended", "plain", "blocked", "plain", "failing"];

fn fault(dice: &mut Dice) -> Rule {
    let method = ["GET", "POST", "PATCH", "DELETE", "*"][usize::try_from(dice.below(5)).expect("it is small")];
    let rule = Rule::on(method, "").after(usize::try_from(dice.below(6)).expect("it is small"));
    rule.once(match dice.below(9) {
        0 => Fault::Status(500),
        1 => Fault::Status(502),
        2 => Fault::DoneBut(503),
        3 => Fault::CutBefore,
        4 => Fault::CutAfter,
        5 => Fault::CutWithin,
        6 => Fault::PrimaryLimit(1),
        7 => Fault::SecondaryLimit(Some(1)),
        _ => Fault::TooMany(1),
    })
}

/// Whether the issue has come where it stays: its pull request is followed, or merged, or a person is asked.
fn settled(world: &World, issue: u64) -> bool {
    match world.labels(issue).join(" ").as_str() {
        "ai-pr-open" | "needs-human" => true,
        "" => !world.pulls(issue).is_empty(),
        _ => false,
    }
}

#[test]
fn every_issue_ends_in_one_pull_request_or_with_a_person_whatever_fails() {
    let issues = number("ATTA_STORM_ISSUES").unwrap_or(5);
    let kills = number("ATTA_STORM_KILLS").unwrap_or(4);
    let seed = number("ATTA_STORM_SEED").unwrap_or(1);
    println!("ATTA_STORM_ISSUES={issues} ATTA_STORM_KILLS={kills} ATTA_STORM_SEED={seed}");
    let mut dice = Dice(seed);
    let mut world = World::new(3);
    assert!(world.server().client(&["config", "set", "Places", "3"]).status.success());
    world.pick_every_second();
    let modes = MODES.iter().cycle().take(usize::try_from(issues).expect("not so many"));
    let issues: Vec<(u64, &str)> = modes.map(|mode| (world.issue(mode), *mode)).collect();
    for (issue, _) in &issues {
        world.label(*issue, "ai-ready");
    }
    let mut merged = BTreeSet::new();
    for _ in 0..kills {
        let pause = Duration::from_millis(300 + dice.below(1_500));
        std::thread::sleep(pause);
        world.inject(fault(&mut dice));
        if dice.below(2) == 0 {
            world.inject(fault(&mut dice));
        }
        // People go on meanwhile.
        let done = issues.iter().find(|(issue, _)| {
            !merged.contains(issue) && world.labels(*issue) == ["ai-pr-open"] && !world.pulls(*issue).is_empty()
        });
        if let Some((issue, _)) = done.filter(|_| dice.below(3) == 0) {
            world.merge(world.pulls(*issue)[0]);
            merged.insert(*issue);
        }
        world.kill();
        world.start();
    }
    world.fake.heal();
    wait_at_most(Duration::from_mins(4), "all issues to settle", || {
        let open = issues.iter().filter(|(issue, _)| !settled(&world, *issue) || (merged.contains(issue) && !world.labels(*issue).is_empty()));
        (open.count() == 0).then_some(())
    });
    check(&world, &issues, &merged);
    world.stop();
}

fn check(world: &World, issues: &[(u64, &str)], merged: &BTreeSet<u64>) {
    // The last jobs tidy up.
    wait_at_most(Duration::from_mins(1), "the jobs to rest", || {
        let jobs = world.jobs("gh-implement");
        jobs.iter().all(|job| !["PENDING", "RUNNING", "CANCELLING"].contains(&job["state"].as_str().unwrap_or_default())).then_some(())
    });
    let jobs = world.jobs("gh-implement");
    let mut kept = Vec::new();
    for (issue, mode) in issues {
        let key = format!("{REPO}#{issue}");
        let of_issue: Vec<_> = jobs.iter().filter(|job| job["user_key"] == key.as_str()).collect();
        assert_eq!(of_issue.len(), 1, "{mode} {issue}: {of_issue:#?}");
        let (labels, said, pulls) = (world.labels(*issue), world.said(*issue), world.pulls(*issue));
        let state = of_issue[0]["state"].as_str().unwrap_or_default();
        let honest = match *mode {
            "blocked" | "failing" => labels == ["needs-human"] && said.len() == 1 && pulls.is_empty(),
            _ if merged.contains(issue) => labels.is_empty() && said.is_empty() && pulls.len() == 1 && state == "COMPLETED",
            _ => labels == ["ai-pr-open"] && said.is_empty() && pulls.len() == 1 && state == "WAITING",
        };
        assert!(honest, "{mode} {issue}: {state}, {labels:?}, {said:?}, {pulls:?}");
        if labels == ["ai-pr-open"] {
            kept.push(world.fake.state(|state| state.repo(REPO).pull(pulls[0]).head.clone()));
            assert!(world.said(pulls[0]).is_empty());
        }
    }
    // Nothing was paid for twice.
    let mut begun: BTreeMap<String, usize> = BTreeMap::new();
    for line in world.scratch.read("sessions").lines() {
        *begun.entry(line.to_owned()).or_default() += 1;
    }
    for (issue, sessions) in world.sessions() {
        let mut once = sessions.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), sessions.len(), "{issue}: {sessions:?}");
    }
    assert!(begun.values().all(|count| *count == 1), "{begun:#?}");
    kept.sort();
    let mut branches = world.branches();
    branches.sort();
    assert_eq!(branches, kept);
    let data = world.scratch.path("data").display().to_string();
    wait_at_most(Duration::from_mins(1), "workspaces of jobs that have ended to go", || {
        let listed = world.scratch.atta(&["workspaces", "list", "--json", "--data-dir", &data]).json();
        (listed.as_array().map(Vec::len) == Some(kept.len())).then_some(())
    });
}
