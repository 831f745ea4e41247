use std::process::Command;

use super::*;

fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name == "PATH").collect()
}

fn run(directory: &Path, line: &str) -> String {
    let done = Command::new("bash")
        .args(["-ec", line])
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// A checkout of a branch that changed, added and removed configuration, and the commit that it began with.
fn scene() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    run(
        directory.path(),
        "git init -q -b main . && git config user.name a && git config user.email a@b && mkdir -p sub && \
         echo ours > CLAUDE.md && ln -s CLAUDE.md AGENTS.md && mkdir .claude && echo '{}' > .claude/settings.json && \
         echo nested > sub/CLAUDE.md && echo code > code && git add . && git commit -qm base",
    );
    let base = run(directory.path(), "git rev-parse HEAD");
    run(
        directory.path(),
        "git checkout -qb work && echo theirs > CLAUDE.md && git rm -qr .claude && ln -s sub .claude && \
         git rm -q sub/CLAUDE.md && echo '{\"mcp\": 1}' > .mcp.json && git add . && git commit -qm branch && \
         mkdir -p .gemini && echo untracked > .gemini/x && echo changed >> code",
    );
    (directory, base)
}

fn look(path: &Path) -> String {
    run(
        path,
        "find . -path ./.git -prune -o \\( -type f -o -type l \\) -print | sort | while read -r f; do \
         if [ -L \"$f\" ]; then echo \"$f -> $(readlink \"$f\")\"; else echo \"$f: $(cat \"$f\")\"; fi; done; \
         git status --porcelain",
    )
}

fn taken(path: &Path, base: &str) -> Result<Taken, String> {
    take(path, &[path.to_owned()], base, &[], &environment())
}

#[test]
fn an_agent_finds_the_configuration_of_the_base_and_the_branch_has_its_own_back() {
    let (directory, base) = scene();
    let path = directory.path();
    let before = look(path);
    let taken = taken(path, &base).unwrap();
    let during = look(path);
    for line in
        ["./CLAUDE.md: ours", "./AGENTS.md -> CLAUDE.md", "./.claude/settings.json: {}", "./code: code\nchanged"]
    {
        assert!(during.contains(line), "{line}: {during}");
    }
    assert!(!during.contains(".mcp.json") && !during.contains("untracked") && !during.contains("theirs"), "{during}");
    // What is committed now is the agent's work and nothing else.
    run(path, "git commit -qam work");
    assert_eq!(run(path, "git show --name-only --format= HEAD"), "code");
    assert_eq!(taken.give_back().unwrap(), Vec::<String>::new());
    assert_eq!(look(path), before.replace(" M code\n", "").replace("M code\n", ""));
    assert!(!path.join(".git/atta-configuration/journal.json").exists());
}

#[test]
fn what_an_agent_does_to_its_configuration_is_not_kept_and_is_named() {
    let (directory, base) = scene();
    let path = directory.path();
    let before = look(path);
    let taken = taken(path, &base).unwrap();
    run(
        path,
        "echo hooks > .claude/settings.json; echo x > .cursorrules; rm CLAUDE.md; mkdir CLAUDE.md; rm -r sub; ln -s /etc sub",
    );
    assert_eq!(taken.give_back().unwrap(), [".claude/settings.json", ".cursorrules", "CLAUDE.md", "sub/CLAUDE.md"]);
    run(path, "rm sub");
    assert_eq!(look(path), before);
}

#[test]
fn whatever_a_run_that_was_cut_off_left_is_put_back_by_the_next_one() {
    let (directory, base) = scene();
    let path = directory.path();
    let before = look(path);
    for again in [false, true] {
        let taken = taken(path, &base).unwrap();
        // Killed: nothing is put back, and the lock is gone.
        drop(taken);
        assert_ne!(look(path), before);
        if again {
            recover(path, &[path.to_owned()], &environment()).unwrap();
            assert_eq!(look(path), before);
        }
    }
    // Killed while it took things away: some are gone, some not yet.
    drop(taken(path, &base).unwrap());
    let own = path.join(".git/atta-configuration");
    let text = fs::read_to_string(own.join("journal.json")).unwrap();
    let journal: Journal = serde_json::from_str(&text).unwrap();
    let number = journal.entries.iter().position(|entry| entry.path == "CLAUDE.md").unwrap();
    fs::remove_file(path.join("CLAUDE.md")).unwrap();
    fs::rename(own.join("saved").join(number.to_string()), path.join("CLAUDE.md")).unwrap();
    recover(path, &[path.to_owned()], &environment()).unwrap();
    assert_eq!(look(path), before);
    assert_eq!(recover(path, &[path.to_owned()], &environment()), Ok(Vec::new()));
}

#[test]
fn agents_that_work_at_once_share_what_was_taken_and_the_last_one_gives_it_back() {
    let (directory, base) = scene();
    let path = directory.path();
    let before = look(path);
    let (first, second) = (taken(path, &base).unwrap(), taken(path, &base).unwrap());
    let message = taken(path, "main~0^{tree}").unwrap_err();
    assert!(message.contains("is no commit"), "{message}");
    let other = taken(path, "work").unwrap_err();
    assert!(other.contains("another agent works in"), "{other}");
    first.give_back().unwrap();
    assert_ne!(look(path), before);
    second.give_back().unwrap();
    assert_eq!(look(path), before);
}

#[test]
fn a_checkout_whose_files_git_cannot_list_is_left_as_it_is() {
    let (directory, base) = scene();
    let path = directory.path();
    let before = look(path);
    let (index, aside) = (path.join(".git/index"), path.join(".git/index.aside"));
    let break_index = || {
        fs::rename(&index, &aside).unwrap();
        fs::write(&index, "no index").unwrap();
    };
    break_index();
    let message = taken(path, &base).unwrap_err();
    assert!(message.contains("git cannot list the files of the checkout"), "{message}");
    fs::rename(&aside, &index).unwrap();
    assert_eq!(look(path), before);
    // And what git was told not to look at is not forgotten.
    let taken = taken(path, &base).unwrap();
    break_index();
    let message = taken.give_back().unwrap_err();
    assert!(message.contains("git cannot list the files of the checkout"), "{message}");
    fs::rename(&aside, &index).unwrap();
    recover(path, &[path.to_owned()], &environment()).unwrap();
    assert_eq!(look(path), before);
}

#[test]
fn whoever_comes_while_another_one_puts_everything_back_begins_anew() {
    let (directory, base) = scene();
    let path = directory.path().to_owned();
    let checkout = Checkout::of(&path, std::slice::from_ref(&path), &environment()).unwrap();
    let lock = checkout.lock().unwrap();
    lock.try_lock().unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&lock.metadata().unwrap());
    let second = std::thread::spawn(move || taken(&path, &base).map(Taken::give_back));
    // It waits for the one that has the lock, who has put everything back already.
    let waits = |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) && !second.is_finished() {
        std::thread::yield_now();
    }
    drop(lock);
    assert_eq!(second.join().unwrap(), Ok(Ok(Vec::new())));
}

#[test]
fn directories_that_were_made_for_files_of_the_base_are_gone_afterwards() {
    let (directory, _) = scene();
    let path = directory.path();
    run(
        path,
        "git stash -q; git checkout -q main; mkdir -p x/a x/b; echo 1 > x/a/CLAUDE.md; echo 2 > x/b/CLAUDE.md; \
         git add x; git commit -qm more; git checkout -q work",
    );
    let taken = taken(path, "main").unwrap();
    assert!(path.join("x/a/CLAUDE.md").exists() && path.join("x/b/CLAUDE.md").exists());
    assert_eq!(taken.give_back().unwrap(), Vec::<String>::new());
    assert!(!path.join("x").exists());
}

#[test]
fn what_cannot_be_looked_through_is_told_and_everything_else_is_put_back() {
    let (directory, base) = scene();
    let path = directory.path();
    let before = look(path);
    let taken = taken(path, &base).unwrap();
    // A path that is longer than what any program can name.
    let name = "d".repeat(250);
    fs::create_dir(path.join(&name)).unwrap();
    let mut at = File::open(path.join(&name)).unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&at, name.as_str(), rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, name.as_str(), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .unwrap()
            .into();
    }
    let message = taken.give_back().unwrap_err();
    assert!(message.contains("cannot be looked through"), "{message}");
    fs::remove_dir_all(path.join(&name)).unwrap();
    recover(path, &[path.to_owned()], &environment()).unwrap();
    assert!(!path.join(".git/atta-configuration/journal.json").exists());
    assert_eq!(look(path), before);
}

#[test]
fn neither_hooks_nor_filters_nor_a_journal_of_somebody_s_own_do_anything() {
    let (directory, base) = scene();
    let outside = tempfile::tempdir().unwrap();
    let path = directory.path();
    run(
        path,
        "printf '#!/bin/sh\\ntouch \"$PWD/ran\"\\n' > .git/evil; chmod +x .git/evil; cp .git/evil .git/hooks/post-index-change; \
         git config core.fsmonitor .git/evil; git config filter.x.clean .git/evil; git config filter.x.smudge .git/evil; \
         git config filter.x.required true; printf '* filter=x\\n' > .git/info/attributes",
    );
    let taken = taken(path, &base).unwrap();
    let own = path.join(".git/atta-configuration");
    let target = outside.path().join("keep");
    fs::write(&target, "keep").unwrap();
    let mut journal: Journal = serde_json::from_slice(&fs::read(own.join("journal.json")).unwrap()).unwrap();
    for hostile in
        [format!("../{}", target.display()), target.display().to_string(), "code".to_owned(), ".git/config".to_owned()]
    {
        journal.entries.push(Entry { path: hostile, had: false, blob: None });
    }
    fs::write(own.join("journal.json"), serde_json::to_vec(&journal).unwrap()).unwrap();
    taken.give_back().unwrap();
    assert!(!path.join("ran").exists() && target.exists() && path.join("code").exists());
    assert!(path.join(".git/config").exists());
}

#[test]
fn a_repository_that_says_its_files_are_elsewhere_is_refused() {
    let (directory, base) = scene();
    let outside = tempfile::tempdir().unwrap();
    run(directory.path(), &format!("git config core.worktree {}", outside.path().display()));
    let message = taken(directory.path(), &base).unwrap_err();
    assert!(message.contains("says that its files are elsewhere") || message.contains("is in none"), "{message}");
    let nowhere = tempfile::tempdir().unwrap();
    assert!(taken(nowhere.path(), "main").unwrap_err().contains("needs a git repository"));
}
