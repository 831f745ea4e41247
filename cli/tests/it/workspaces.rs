//! `atta workspaces`, and what `atta run` and `atta serve` leave there.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::live_server::{LiveServer, atta, repository, wait_for};
use crate::scratch::Scratch;
use crate::shipped::{outline, run, task};

const SHARED: &str = "job_type: shared\nworkspace: {keep: always}\ntasks:\n  - task_type: write\n    script:\n      \
                      - echo hello >\"$JOB_WORKSPACE/file\"\n";

/// A bare repository with one commit, and its path.
fn bare_repository(scratch: &Scratch) -> String {
    let script = "set -e; export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a \
                  GIT_COMMITTER_EMAIL=a@b; git init -q --bare -b main project.git; git init -q -b main seed; cd seed; \
                  git commit -q --allow-empty -m one; git push -q ../project.git main";
    let done = Command::new("sh").arg("-c").arg(script).current_dir(scratch.root()).output().expect("sh starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    scratch.path("project.git").to_str().expect("the path is text").to_owned()
}

/// Where programs are found.
fn search_path() -> String {
    std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("PATH is text")
}

fn list(scratch: &Scratch, data: &str) -> Vec<Value> {
    let done = scratch.atta(&["workspaces", "list", "--json", "--data-dir", data]);
    assert_eq!(done.code, 0, "{done:#?}");
    done.json().as_array().expect("a list").clone()
}

#[test]
fn what_a_run_keeps_is_listed_opened_and_removed() {
    let scratch = Scratch::new();
    let file = scratch.write("shared.yaml", SHARED);
    let done = scratch.atta(&["run", &file]);
    done.says(0, &["kept: the workspace ", "keep: always"]);
    // The data directory of the run stays for it.
    let data = fs::read_dir(scratch.path("tmp")).expect("there is one").flatten().next().expect("it is kept").path();
    let data = data.to_str().expect("the path is text").to_owned();
    let one = &list(&scratch, &data)[0];
    assert_eq!((&one["state"], &one["reason"], &one["size"]), (&"kept".into(), &"keep: always".into(), &6.into()));
    assert_eq!((&one["outcome"], &one["job_type"]), (&"COMPLETED".into(), &"shared".into()));
    let name = one["name"].as_str().expect("it has a name");

    let table = scratch.atta(&["workspaces", "--data-dir", &data]);
    assert!(table.stdout.starts_with("WORKSPACE ") && table.stdout.contains(name), "{table:#?}");
    let opened = scratch.atta(&["workspaces", "open", &name[..12], "--data-dir", &data]);
    assert_eq!(opened.stdout.trim_end(), one["path"].as_str().expect("it has a path"));
    assert_eq!(fs::read_to_string(format!("{}/file", opened.stdout.trim_end())).expect("it is there"), "hello\n");

    scratch.atta(&["workspaces", "rm", "job_x", "--data-dir", &data]).says(4, &["There is no workspace \"job_x\""]);
    scratch.atta(&["workspaces", "rm", name, "--data-dir", &data]).says(0, &["removed "]);
    assert_eq!(list(&scratch, &data), Vec::<Value>::new());
    scratch.atta(&["workspaces", "--data-dir", &data]).says(0, &["No workspaces."]);
    fs::remove_dir_all(data).expect("it is ours");
}

#[test]
fn a_run_whose_workspace_may_go_leaves_nothing() {
    let scratch = Scratch::new();
    let file = scratch.write("shared.yaml", SHARED.replace("always", "on_failure"));
    scratch.atta(&["run", &file]).says(0, &[]);
    assert!(fs::read_dir(scratch.path("tmp")).expect("there is one").next().is_none());
}

#[test]
fn unpushed_work_of_a_run_is_kept_and_thrown_away_by_force_only() {
    let scratch = Scratch::new();
    let url = bare_repository(&scratch);
    let file = scratch.write(
        "work.yaml",
        format!(
            "job_type: work\nworkspace: {{keep: never, git: {{url: {url}, branch: \"ai/{{{{ Nonce }}}}\"}}}}\ntasks:\n  \
             - task_type: commit\n    script:\n      - cd \"$JOB_WORKSPACE\"\n      - echo x >new\n      - git add new\n      \
             - git commit -qm new\n"
        ),
    );
    scratch.atta(&["run", &file]).says(0, &["kept: ", "unpushed work: 1 commit on no branch of the remote"]);
    let data = fs::read_dir(scratch.path("tmp")).expect("there is one").flatten().next().expect("it is kept").path();
    let data = data.to_str().expect("the path is text").to_owned();
    let one = list(&scratch, &data).remove(0);
    assert_eq!((&one["unpushed"], &one["url"]), (&true.into(), &url.as_str().into()));
    let name = one["name"].as_str().expect("it has a name");
    let refused = scratch.atta(&["workspaces", "rm", name, "--data-dir", &data]);
    refused.says(4, &["was not removed: unpushed work: 1 commit", "--force throws it away"]);
    scratch.atta(&["workspaces", "rm", name, "--force", "--data-dir", &data]).says(0, &["removed "]);
    fs::remove_dir_all(data).expect("it is ours");
}

#[test]
fn a_live_workspace_beside_a_running_server_is_refused() {
    let scratch = Scratch::new();
    let data = scratch.path("data").to_str().expect("the path is text").to_owned();
    let server = LiveServer::start(scratch.root(), &search_path());
    let go = scratch.path("go");
    let source = format!(
        "job_type: waits\nworkspace: {{keep: never}}\ntasks:\n  - task_type: wait\n    script:\n      - echo x \
         >\"$JOB_WORKSPACE/x\"\n      - until test -e '{}'; do sleep 0.02; done\n",
        go.display()
    );
    let file = scratch.write("waits.yaml", source);
    server.json(&["submit", &file, "--json"]);
    let found = wait_for("the workspace", || {
        list(&scratch, &data).into_iter().find(|one| one["state"] == "live" && one["size"] == 2)
    });
    let name = found["name"].as_str().expect("it has a name");
    let refused = scratch.atta(&["workspaces", "rm", name, "--data-dir", &data]);
    refused.says(4, &["was not removed: its job is not over", "Cancel the job"]);
    fs::write(go, "").expect("the directory is writable");
    wait_for("the workspace to be removed", || list(&scratch, &data).is_empty().then_some(()));
    server.stop();
}

#[test]
fn tasks_share_a_workspace_within_its_bounds() {
    let (code, job) = run("workspace.yaml", &[]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(outline(&job), ["build COMPLETED check", "check COMPLETED -", "too-large SKIPPED -"]);

    // Kept after anything but COMPLETED: the directory of the run stays.
    let directory = TempDir::new().expect("a temporary directory can be made");
    let output = Command::new(atta())
        .arg("run")
        .arg(repository().join("workflows/examples/workspace.yaml"))
        .args(["--json", "-p", "Kilobytes=200"])
        .env("TMPDIR", directory.path())
        .output()
        .expect("atta starts");
    let job: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!((output.status.code(), job["state"].as_str()), (Some(4), Some("BLOCKED")), "{job:#}");
    assert_eq!(task(&job, "build")["result"], "INVALID");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("size_limit is 100 KiB") || job.to_string().contains("size_limit is 100 KiB"),
        "{said}{job:#}"
    );
    assert!(said.contains("keep: on_failure, and the job is BLOCKED"), "{said}");
}

#[test]
fn a_worktree_is_worked_on_by_several_tasks_and_pushed() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let script = "set -e; export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a \
                  GIT_COMMITTER_EMAIL=a@b; git init -q --bare -b main project.git; git init -q -b main seed; cd seed; \
                  git commit -q --allow-empty -m one; git push -q ../project.git main";
    let done = Command::new("sh").arg("-c").arg(script).current_dir(directory.path()).output().expect("sh starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let bare = directory.path().join("project.git");
    let (code, job) = run("workspace-git.yaml", &[&format!("Repository={}", bare.display())]);
    assert_eq!((code, job["state"].as_str()), (0, Some("COMPLETED")), "{job:#}");
    assert_eq!(outline(&job), ["change COMPLETED push", "push COMPLETED -"]);
    let branch = task(&job, "push")["outputs"]["branch"].as_str().expect("the branch is known");
    assert!(branch.starts_with("ai/example-") && branch.len() == 19, "{branch}");
    let shown =
        Command::new("git").args(["show", &format!("{branch}:NOTES")]).current_dir(&bare).output().expect("git starts");
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "done\n", "{}", String::from_utf8_lossy(&shown.stderr));
}

#[test]
fn what_was_cached_comes_back_in_later_jobs() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let server = LiveServer::start(directory.path(), &search_path());
    let file = repository().join("workflows/examples/cache.yaml");
    let file = file.to_str().expect("the path is text");
    for (lock, from, log) in [
        ("1", "network", "cache miss: nothing is stored under \"deps-1\""),
        ("1", "cache", "cache hit: restored \"deps-1\""),
        ("2", "cache", "cache hit: restored \"deps-1\" (5 B) in place of \"deps-2\""),
        ("2", "cache", "cache hit: restored \"deps-2\""),
    ] {
        let job = server.json(&["submit", file, "--json", "-p", &format!("Lock={lock}")]);
        let id = job["job_id"].as_str().expect("it has an id");
        let job = server.finished(id);
        assert_eq!(job["state"], "COMPLETED", "{job:#}");
        assert_eq!(task(&job, "install")["outputs"]["from"], from, "{job:#}");
        let said = server.client(&["logs", id, "--stream", "system"]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains(log), "{log} is not in {said}");
        assert_eq!(said.contains("cache saved"), !log.contains(&format!("restored \"deps-{lock}\"")), "{said}");
    }
    server.stop();
}
