//! The directories that tasks of a job share, with real repositories.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use atta_core::definition::{InheritEnv, KeepWorkspace};
use atta_core::engine::{AttemptResult, JobState, ResultName};
use atta_core::protocol::JobId;
use atta_core::protocol::ant::{Assignment, GitOrder, Orders, WorkspaceId, WorkspaceOrder, WorkspaceRelease};
use atta_worker::workspaces::{self, WorkspaceRecord, WorkspaceState, WorkspaceStore};
use atta_worker::{AntConfig, Launcher};

use crate::harness::{Launchers, tests};
use crate::web::{Web, answer};
use crate::world::{World, config, eventually};

tests![
    tasks_of_a_job_share_a_directory_and_other_jobs_do_not_see_it,
    the_rule_decides_what_stays_when_the_job_is_over,
    a_workspace_that_is_gone_is_said_and_never_replaced_by_an_empty_one,
    a_workspace_that_is_too_large_is_invalid_with_both_sizes,
    a_release_waits_for_the_last_task,
    a_worktree_begins_at_the_default_branch_and_its_work_can_be_pushed,
    a_ref_can_be_a_branch_a_tag_a_commit_or_a_full_ref,
    what_is_not_pushed_is_not_removed,
    unpushed_work_goes_when_the_definition_says_so,
    a_branch_that_exists_is_refused_with_a_way_out,
    jobs_share_one_mirror_and_each_has_a_worktree,
    nothing_that_a_task_leaves_in_the_mirror_counts_for_another,
    what_a_workspace_configures_is_not_run_when_its_job_is_over,
    a_password_in_the_address_reaches_git_and_nothing_else,
    a_repository_that_refuses_the_ant_is_invalid_with_the_words_of_git,
    settings_of_the_user_count_only_where_home_is_inherited,
    an_ant_that_was_killed_goes_on_with_its_workspaces,
    a_mirror_that_was_left_locked_is_used_again,
    kept_workspaces_keep_to_the_quota_the_oldest_goes_first,
    a_kept_workspace_goes_when_its_time_is_over,
    a_removal_from_outside_asks_first,
];

const NONCE: &str = "0a1b2c3d";

/// A world where nobody is configured for git.
async fn world(launcher: Launcher, change: impl FnOnce(&mut AntConfig)) -> World {
    World::with(launcher, |config| {
        config.environment.retain(|(name, _)| name != "HOME");
        config.environment.push(("HOME".into(), "/nonexistent".into()));
        change(config);
    })
    .await
}

fn id(job: &str, nonce: &str) -> WorkspaceId {
    WorkspaceId { job_id: JobId(job.to_owned()), nonce: nonce.to_owned() }
}

fn order(id: WorkspaceId) -> WorkspaceOrder {
    let ttl = Duration::from_hours(1);
    WorkspaceOrder { id, made: false, keep: KeepWorkspace::Never, ttl, size_limit: None, git: None }
}

fn git_order(id: WorkspaceId, url: &Path, branch: Option<&str>) -> WorkspaceOrder {
    let url = url.to_str().unwrap().to_owned();
    let branch = branch.map(str::to_owned);
    WorkspaceOrder { git: Some(GitOrder { url, reference: None, branch, discard_unpushed: false }), ..order(id) }
}

impl World {
    fn in_workspace(&self, order: &WorkspaceOrder, script: &str) -> Assignment {
        let mut assignment = self.assignment(script);
        assignment.job_id = order.id.job_id.clone();
        assignment.workspace = Some(order.clone());
        assignment
    }

    fn store(&self) -> WorkspaceStore {
        WorkspaceStore::new(&self.directory.path().join("data"))
    }

    fn release(&self, id: &WorkspaceId, outcome: JobState) {
        let release = WorkspaceRelease { workspace: id.clone(), outcome: Some(outcome) };
        self.queen.order(Orders { releases: vec![release], ..Orders::default() });
    }

    /// Releases a workspace and waits for what becomes of it: the record of one that stays.
    async fn settled(&self, id: &WorkspaceId, outcome: JobState) -> Option<WorkspaceRecord> {
        self.release(id, outcome);
        let store = self.store();
        let settled = || store.read(id).unwrap().is_none_or(|record| record.state == WorkspaceState::Kept);
        eventually("the workspace is settled", settled).await;
        store.read(id).unwrap()
    }

    async fn ok(&self, order: &WorkspaceOrder, script: &str) -> String {
        let done = self.run(self.in_workspace(order, script)).await;
        assert_eq!(done.result(), AttemptResult::Exit(0), "{}\n{}", done.message(), done.log);
        done.log
    }
}

/// A bare repository with one commit on `main`, a tag and a pull request.
fn repository(world: &World, name: &str) -> PathBuf {
    let root = world.directory.path();
    let bare = root.join(format!("{name}.git"));
    let script = format!(
        "set -e; export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
         git init -q --bare -b main {name}.git; git init -q -b main {name}-seed; cd {name}-seed
         echo one >file; git add file; git commit -qm one; git tag v1
         git push -q ../{name}.git main v1; echo two >file; git commit -qam two
         git push -q ../{name}.git HEAD:refs/pull/7/head; git push -q ../{name}.git HEAD:refs/heads/next"
    );
    let done = Command::new("bash").arg("-c").arg(script).current_dir(root).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    bare
}

fn git(directory: &Path, words: &[&str]) -> String {
    let done = Command::new("git").args(words).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

async fn tasks_of_a_job_share_a_directory_and_other_jobs_do_not_see_it(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let first = order(id("job_1", NONCE));
    world.ok(&first, "echo hello >\"$JOB_WORKSPACE/file\"; test \"$PWD\" != \"$JOB_WORKSPACE\"").await;
    let later = WorkspaceOrder { made: true, ..first.clone() };
    assert_eq!(world.ok(&later, "cat \"$JOB_WORKSPACE/file\"").await, "hello\n");
    assert_eq!(world.ok(&order(id("job_2", NONCE)), "ls -A \"$JOB_WORKSPACE\"").await, "");
    assert_eq!(world.ok(&order(id("job_1", "00000000")), "ls -A \"$JOB_WORKSPACE\"").await, "");
    let without = world.script("echo \"${JOB_WORKSPACE-none}\"").await;
    assert_eq!(without.log, "none\n");
    world.end().await;
}

async fn the_rule_decides_what_stays_when_the_job_is_over(mut launchers: Launchers) {
    use JobState::{Cancelled, Completed, Failed};
    use KeepWorkspace::{Always, Never, OnFailure};
    let world = world(launchers.take(), |_| {}).await;
    for (n, (keep, outcome, reason)) in [
        (Never, Completed, None),
        (Never, Failed, None),
        (OnFailure, Completed, None),
        (OnFailure, Failed, Some("keep: on_failure, and the job is FAILED")),
        (OnFailure, Cancelled, Some("keep: on_failure, and the job is CANCELLED")),
        (Always, Completed, Some("keep: always")),
    ]
    .into_iter()
    .enumerate()
    {
        let order = WorkspaceOrder { keep, ..order(id(&format!("job_{n}"), NONCE)) };
        world.ok(&order, "echo 12345 >\"$JOB_WORKSPACE/file\"").await;
        let kept = world.settled(&order.id, outcome).await;
        let path = world.store().path(&order.id);
        assert_eq!(kept.as_ref().map(|record| record.kept.as_ref().unwrap().reason.as_str()), reason, "{keep:?}");
        assert_eq!(path.is_dir(), reason.is_some());
        if let Some(record) = kept {
            assert_eq!((record.bytes, record.outcome), (Some(6), Some(outcome)));
        }
    }
    world.end().await;
}

async fn a_workspace_that_is_gone_is_said_and_never_replaced_by_an_empty_one(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let never_here = WorkspaceOrder { made: true, ..order(id("job_1", NONCE)) };
    let removed = order(id("job_2", NONCE));
    world.ok(&removed, "true").await;
    fs::remove_dir(world.store().path(&removed.id)).unwrap();
    for order in [never_here, removed] {
        let done = world.run(world.in_workspace(&order, "touch \"$JOB_WORKSPACE/x\"")).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
        assert!(done.message().starts_with("the workspace of this job is gone: "), "{}", done.message());
        assert!(!world.store().path(&order.id).exists());
    }
    world.end().await;
}

async fn a_workspace_that_is_too_large_is_invalid_with_both_sizes(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let order = WorkspaceOrder { size_limit: Some(2048), ..order(id("job_1", NONCE)) };
    world.ok(&order, "head -c 2048 /dev/zero >\"$JOB_WORKSPACE/a\"").await;
    let done = world.run(world.in_workspace(&order, "head -c 1024 /dev/zero >\"$JOB_WORKSPACE/b\"")).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
    assert_eq!(
        done.message(),
        "the workspace of the job has 3 KiB (3072 bytes) after this task, and its size_limit is 2 KiB (2048 bytes)"
    );
    // A failure of the task's own is not hidden by it.
    let done = world.run(world.in_workspace(&order, "exit 4")).await;
    assert_eq!(done.result(), AttemptResult::Exit(4));
    assert!(done.report.warnings.iter().any(|warning| warning.contains("size_limit is 2 KiB")));
    world.end().await;
}

async fn a_release_waits_for_the_last_task(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let order = order(id("job_1", NONCE));
    let go = world.directory.path().join("go");
    let script =
        format!("echo here; until test -e '{}'; do sleep 0.02; done; echo done >\"$JOB_WORKSPACE/x\"", go.display());
    let attempt = world.begin(world.in_workspace(&order, &script));
    world.log_has(&attempt, "here").await;
    world.release(&order.id, JobState::Cancelled);
    // Orders are obeyed one after another: when this one has run, the release has been heard.
    let after = world.begin(world.assignment("true"));
    world.done(&after).await;
    assert!(world.store().path(&order.id).is_dir());
    fs::write(&go, "").unwrap();
    assert_eq!(world.done(&attempt).await.result(), AttemptResult::Exit(0));
    eventually("the workspace is removed", || !world.store().path(&order.id).exists()).await;
    world.end().await;
}

async fn a_worktree_begins_at_the_default_branch_and_its_work_can_be_pushed(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let order = git_order(id("job_1", NONCE), &bare, Some("ai/1-0a1b2c3d"));
    let log = world
        .ok(
            &order,
            "cd \"$JOB_WORKSPACE\"; cat file; git branch --show-current; test -f .git; echo three >file
             git commit -qam three; git log -1 --format='%an <%ae>'",
        )
        .await;
    assert_eq!(log, "one\nai/1-0a1b2c3d\nAtta <atta@localhost>\n");
    let later = WorkspaceOrder { made: true, ..order.clone() };
    world.ok(&later, "cd \"$JOB_WORKSPACE\"; git push -q; cat file").await;
    assert_eq!(git(&bare, &["show", "ai/1-0a1b2c3d:file"]), "three");
    assert_eq!(world.settled(&order.id, JobState::Completed).await, None);
    assert!(!world.store().path(&order.id).exists());
    // The name is free again on this ant, but not in the repository.
    let mirrors = world.directory.path().join("data/ant/mirrors");
    let mirror = fs::read_dir(mirrors).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir()).unwrap();
    assert_eq!(git(&mirror, &["for-each-ref", "--format=%(refname)", "refs/heads"]), "");
    assert_eq!(git(&mirror, &["worktree", "list"]).lines().count(), 1);
    world.end().await;
}

async fn a_ref_can_be_a_branch_a_tag_a_commit_or_a_full_ref(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let next = git(&bare, &["rev-parse", "next"]);
    for (n, (reference, content)) in [
        ("main", "one"),
        ("v1", "one"),
        ("next", "two"),
        (next.as_str(), "two"),
        ("refs/pull/7/head", "two"),
        ("refs/heads/main", "one"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut order = git_order(id(&format!("job_{n}"), NONCE), &bare, None);
        order.git.as_mut().unwrap().reference = Some(reference.to_owned());
        let log = world.ok(&order, "cd \"$JOB_WORKSPACE\"; cat file; git symbolic-ref -q HEAD || echo detached").await;
        assert_eq!(log, format!("{content}\ndetached\n"), "{reference}");
        assert_eq!(world.settled(&order.id, JobState::Completed).await, None, "nothing was done in it");
    }
    for (reference, says) in [
        ("nowhere", "has no branch, tag or commit `nowhere`"),
        ("refs/pull/8/head", "has no `refs/pull/8/head`: "),
        ("--help", "begins with `-`"),
    ] {
        let mut order = git_order(id("job_x", NONCE), &bare, None);
        order.git.as_mut().unwrap().reference = Some(reference.to_owned());
        let done = world.run(world.in_workspace(&order, "true")).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid), "{}", done.message());
        assert!(done.message().contains(says), "{}", done.message());
    }
    let nowhere = git_order(id("job_y", NONCE), &world.directory.path().join("nothing.git"), None);
    let done = world.run(world.in_workspace(&nowhere, "true")).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::StartFailed));
    assert!(done.message().contains("cannot be fetched: `git fetch` failed: "), "{}", done.message());
    world.end().await;
}

async fn what_is_not_pushed_is_not_removed(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    for (n, (script, says)) in [
        ("echo x >new", "unpushed work: 1 uncommitted change"),
        ("echo x >file; git commit -qam x", "unpushed work: 1 commit on no branch of the remote"),
        (
            "git checkout -q --detach; echo x >file; git commit -qam x; git commit -q --allow-empty -m y; echo z >file",
            "unpushed work: 1 uncommitted change and 2 commits on no branch of the remote",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let order = git_order(id(&format!("job_{n}"), NONCE), &bare, Some(&format!("work-{n}")));
        world.ok(&order, &format!("cd \"$JOB_WORKSPACE\"; {script}")).await;
        let record = world.settled(&order.id, JobState::Completed).await.unwrap();
        let kept = record.kept.unwrap();
        assert!(kept.unpushed);
        assert_eq!(kept.reason, says);
        assert!(world.store().path(&order.id).join("file").exists());
    }
    // Pushed by somebody who does not tell git here about it: the remote is asked.
    let order = git_order(id("job_9", NONCE), &bare, Some("work-9"));
    let script = format!(
        "cd \"$JOB_WORKSPACE\"; echo x >file; git commit -qam x; git push -q '{}' HEAD:elsewhere",
        bare.display()
    );
    world.ok(&order, &script).await;
    assert_eq!(world.settled(&order.id, JobState::Completed).await, None);
    world.end().await;
}

async fn unpushed_work_goes_when_the_definition_says_so(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let mut order = git_order(id("job_1", NONCE), &bare, Some("work"));
    order.git.as_mut().unwrap().discard_unpushed = true;
    world.ok(&order, "cd \"$JOB_WORKSPACE\"; echo x >file; git commit -qam x; echo y >file").await;
    assert_eq!(world.settled(&order.id, JobState::Completed).await, None);
    // And the name is free again.
    world.ok(&WorkspaceOrder { id: id("job_2", NONCE), ..order }, "true").await;
    world.end().await;
}

async fn a_branch_that_exists_is_refused_with_a_way_out(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    world.ok(&git_order(id("job_1", NONCE), &bare, Some("mine")), "true").await;
    for (branch, says) in
        [("next", "exists in the repository already"), ("mine", "is used by another workspace on this ant")]
    {
        // A fresh attempt of the same job, too.
        let order = git_order(id("job_1", "11111111"), &bare, Some(branch));
        let done = world.run(world.in_workspace(&order, "true")).await;
        assert_eq!(done.result(), AttemptResult::Named(ResultName::Invalid));
        assert!(done.message().contains(says), "{}", done.message());
        assert!(done.message().contains(&format!("`{branch}-{{{{ Nonce }}}}`")), "{}", done.message());
    }
    // The refused one left nothing that is in the way of the next try.
    world.ok(&git_order(id("job_1", "11111111"), &bare, Some("other")), "true").await;
    world.end().await;
}

async fn jobs_share_one_mirror_and_each_has_a_worktree(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let mut attempts = Vec::new();
    for n in 0..4 {
        let order = git_order(id(&format!("job_{}", n / 2), NONCE), &bare, Some(&format!("work-{}", n / 2)));
        let script = format!(
            "cd \"$JOB_WORKSPACE\"; until mkdir turn 2>/dev/null; do sleep 0.02; done
            echo {n} >>file; git commit -qam {n}; rmdir turn; git branch --show-current"
        );
        attempts.push((n / 2, world.begin(world.in_workspace(&order, &script))));
    }
    for (job, attempt) in attempts {
        let done = world.done(&attempt).await;
        assert_eq!(done.result(), AttemptResult::Exit(0), "{}{}", done.message(), done.log);
        assert_eq!(done.log, format!("work-{job}\n"));
    }
    let mirrors = world.directory.path().join("data/ant/mirrors");
    let found: Vec<_> = fs::read_dir(mirrors).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    for job in 0..2 {
        let tree = world.store().path(&id(&format!("job_{job}"), NONCE));
        assert_eq!(git(&tree, &["rev-list", "--count", "HEAD", "--not", "--remotes"]).as_str(), "2");
    }
    world.end().await;
}

async fn nothing_that_a_task_leaves_in_the_mirror_counts_for_another(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let evil = repository(&world, "evil");
    let root = world.directory.path();
    let ran = root.join("ran");
    let hostile = root.join("hostile");
    fs::write(&hostile, format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\nexit 1\n", ran.display())).unwrap();
    let plant = format!(
        "cd \"$JOB_WORKSPACE\"; set -e; evil='{hostile}'; chmod +x \"$evil\"; common=$(git rev-parse --git-common-dir)
         for key in core.fsmonitor core.sshCommand core.pager core.editor credential.helper core.askPass uploadpack.packObjectsHook \
             gc.recentObjectsHook diff.external filter.x.clean filter.x.smudge; do git config \"$key\" \"$evil\"; done
         git config filter.x.required true; git config core.hooksPath \"$common/hooks\"
         git config 'url.{instead}.insteadOf' '{url}'; git config remote.origin.pushurl '{instead}'; git config remote.origin.uploadpack \"$evil\"
         git config user.email evil@example.com; git config include.path \"$common/more\"; git config -f \"$common/more\" alias.status \"!$evil\"
         mkdir -p \"$common/hooks\" \"$common/info\" \"$common/rr-cache\" \"$common/branches\"
         for hook in post-checkout reference-transaction post-index-change pre-commit pre-push; do cp \"$evil\" \"$common/hooks/$hook\"; done
         echo '* filter=x' >\"$common/info/attributes\"; echo 'new*' >\"$common/info/exclude\"
         echo '{instead}/objects' >\"$common/objects/info/alternates\"
         git config -f \"$common/config.worktree\" core.fsmonitor \"$evil\"
         one=$(git rev-parse HEAD); echo evil >file; git -c core.hooksPath= -c core.fsmonitor= -c filter.x.clean= -c filter.x.required=false \
             -c user.name=x commit -qam evil; git -c core.hooksPath= update-ref refs/replace/$one $(git rev-parse HEAD)
         git -c core.hooksPath= update-ref refs/atta/kept HEAD; git -c core.hooksPath= symbolic-ref refs/remotes/origin/main refs/atta/kept
         echo evil >\"$common/shallow\"",
        hostile = hostile.display(),
        instead = evil.display(),
        url = bare.display(),
    );
    let first = git_order(id("job_1", NONCE), &bare, Some("work-1"));
    world.ok(&first, &plant).await;
    let mirror = world.store().read(&first.id).unwrap().unwrap().git.unwrap().mirror;
    let mirror = root.join(format!("data/ant/mirrors/{mirror}.git"));
    // A settled repository elsewhere, of which nothing would be seen in the mirror.
    fs::write(mirror.join("commondir"), evil.to_str().unwrap()).unwrap();
    let _ = fs::remove_file(&ran);
    let second = git_order(id("job_2", NONCE), &bare, Some("work-2"));
    let work = "cd \"$JOB_WORKSPACE\"; cat file; git config user.email; git remote get-url --push origin; echo two >file; echo x >new
         git add .; git commit -qm two; git push -q; git status --short; git log --format=%s";
    let expected = format!("one\natta@localhost\n{}\ntwo\none\n", bare.display());
    assert_eq!(world.ok(&second, work).await, expected);
    assert_eq!(git(&bare, &["log", "--format=%s", "work-2"]), "two\none");
    // Between two tasks of a job, too: another job may have been there meanwhile.
    world
        .ok(&WorkspaceOrder { made: true, ..first.clone() }, "cd \"$JOB_WORKSPACE\"; git config core.fsmonitor '/x y'")
        .await;
    let later = "cd \"$JOB_WORKSPACE\"; git config --get core.fsmonitor || echo none";
    assert_eq!(world.ok(&WorkspaceOrder { made: true, ..second.clone() }, later).await, "none\n");
    assert_eq!(world.settled(&second.id, JobState::Completed).await, None);
    // A history that one job cuts off, in good faith, is whole for the next one.
    let shallow = "cd \"$JOB_WORKSPACE\"; git fetch -q --depth=1 origin work-2; git rev-parse --is-shallow-repository";
    assert_eq!(world.ok(&git_order(id("job_3", NONCE), &bare, Some("work-3")), shallow).await, "true\n");
    let whole = "cd \"$JOB_WORKSPACE\"; git log --format=%s origin/work-2; git rev-parse --is-shallow-repository";
    let expected = "two\none\nfalse\n";
    assert_eq!(world.ok(&git_order(id("job_4", NONCE), &bare, Some("work-4")), whole).await, expected);
    assert_eq!(fs::read_to_string(&ran).unwrap_or_default(), "");
    world.end().await;
}

async fn what_a_workspace_configures_is_not_run_when_its_job_is_over(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let elsewhere = repository(&world, "elsewhere");
    let ran = world.directory.path().join("ran");
    let own = "cd \"$JOB_WORKSPACE\"; echo x >file";
    for (n, script) in [
        format!(
            "{own}; echo '* filter=x' >.gitattributes; git config --worktree filter.x.clean 'env >>{ran}; cat'
             git config --worktree core.fsmonitor 'touch {ran}'; git config --worktree core.autocrlf false",
            ran = ran.display()
        ),
        // The workspace says that its repository is another one, in which nothing was changed.
        format!("{own}; echo 'gitdir: {}' >.git", elsewhere.display()),
        format!(
            "{own}; rm .git; git init -q .; git add .; git -c user.name=a -c user.email=a@b commit -qm all
             git config core.fsmonitor 'touch {}'",
            ran.display()
        ),
        format!(
            "{own}; git init -q sub; cd sub; echo a >a; git add .; git -c user.name=a -c user.email=a@b commit -qm a
             git -C .. add sub; echo '* filter=x' >.gitattributes; git config filter.x.clean 'touch {}; cat'; echo b >a",
            ran.display()
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let order = git_order(id(&format!("job_{n}"), NONCE), &bare, Some(&format!("work-{n}")));
        let mut assignment = world.in_workspace(&order, &script);
        assignment.environment.insert("GIT_PASSWORD".to_owned(), "s3cr3t".to_owned());
        let done = world.run(assignment).await;
        assert_eq!(done.result(), AttemptResult::Exit(0), "{}\n{}", done.message(), done.log);
        let kept = world.settled(&order.id, JobState::Completed).await.unwrap().kept.unwrap();
        assert!(kept.unpushed && kept.reason.starts_with("unpushed work: "), "{n}: {}", kept.reason);
        assert_eq!(kept.reason.ends_with(" and 1 repository inside it"), n == 3, "{n}: {}", kept.reason);
        assert!(!ran.exists(), "{n}: {}", fs::read_to_string(&ran).unwrap_or_default());
    }
    world.end().await;
}

async fn a_password_in_the_address_reaches_git_and_nothing_else(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let mut order = order(id("job_1", NONCE));
    let url = "http://user:s3cr3tpass@127.0.0.1:1/project.git".to_owned();
    order.git = Some(GitOrder { url, reference: None, branch: Some("b".to_owned()), discard_unpushed: false });
    let done = world.run(world.in_workspace(&order, "true")).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::StartFailed));
    assert!(done.message().contains("http://127.0.0.1:1/project.git"), "{}", done.message());
    assert!(!done.message().contains("s3cr3tpass") && !done.log.contains("s3cr3tpass"), "{}", done.message());
    let data = world.directory.path().join("data");
    let grep = Command::new("grep").args(["-r", "s3cr3tpass"]).arg(data).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
    world.end().await;
}

async fn a_repository_that_refuses_the_ant_is_invalid_with_the_words_of_git(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let web = Web::new(|asked| match &asked.line {
        line if line.contains("/forbidden.git") => answer("403 Forbidden", "", ""),
        line if line.contains("/nowhere.git") => answer("404 Not Found", "", ""),
        _ => answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", ""),
    })
    .await;
    let ssh = world.directory.path().join("ssh");
    let script = "#!/bin/sh\necho 'git@forge.invalid: Permission denied (publickey).' >&2\nexit 255\n";
    fs::write(&ssh, script).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).unwrap();
    let with_password = format!("http://me:wr0ngpass@{}/private.git", web.address);
    for (n, (url, result, says)) in [
        (web.url("/private.git"), ResultName::Invalid, "could not read Username for "),
        (with_password, ResultName::Invalid, "Authentication failed for "),
        (web.url("/forbidden.git"), ResultName::Invalid, "returned error: 403"),
        (
            "ssh://git@forge.invalid/project.git".to_owned(),
            ResultName::Invalid,
            "`git fetch` failed: git@forge.invalid: Permission denied (publickey).",
        ),
        (web.url("/nowhere.git"), ResultName::StartFailed, "not found"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut order = order(id(&format!("job_{n}"), NONCE));
        order.git = Some(GitOrder { url, reference: None, branch: None, discard_unpushed: false });
        let mut assignment = world.in_workspace(&order, "true");
        assignment.environment.insert("GIT_SSH_COMMAND".to_owned(), ssh.to_str().unwrap().to_owned());
        let done = world.run(assignment).await;
        assert_eq!(done.result(), AttemptResult::Named(result), "{}", done.message());
        assert!(done.message().contains(says) && !done.message().contains("wr0ngpass"), "{}", done.message());
    }
    world.end().await;
}

async fn settings_of_the_user_count_only_where_home_is_inherited(mut launchers: Launchers) {
    let directory = tempfile::Builder::new().prefix("atta-ant-").tempdir().unwrap();
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    let data = directory.path().join("data");
    let ant_home = home.clone();
    let world = World::at(launchers.take(), directory, &data, |config| {
        config.environment.retain(|(name, _)| name != "HOME");
        config.environment.push(("HOME".into(), ant_home.into()));
    })
    .await
    .unwrap();
    let bare = repository(&world, "project");
    // The user's settings lead to the repository by a name of their own.
    let settings = format!(
        "[url \"{}\"]\n\tinsteadOf = https://mine.invalid/project.git\n[user]\n\tname = Me\n\temail = me@mine\n",
        bare.display()
    );
    fs::write(home.join(".gitconfig"), settings).unwrap();
    let mut order = git_order(id("job_1", NONCE), &bare, None);
    "https://mine.invalid/project.git".clone_into(&mut order.git.as_mut().unwrap().url);
    let done = world.run(world.in_workspace(&order, "true")).await;
    assert_eq!(done.result(), AttemptResult::Named(ResultName::StartFailed), "{}", done.message());
    for (n, inherit) in [InheritEnv::All, InheritEnv::Names(vec!["HOME".to_owned()])].into_iter().enumerate() {
        let mut assignment = world.in_workspace(
            &WorkspaceOrder { id: id(&format!("job_{n}"), "22222222"), ..order.clone() },
            "cd \"$JOB_WORKSPACE\"; git commit -q --allow-empty -m x; git log -1 --format=%ae",
        );
        assignment.inherit_env = inherit;
        let done = world.run(assignment).await;
        assert_eq!((done.result(), done.log.as_str()), (AttemptResult::Exit(0), "me@mine\n"), "{}", done.message());
    }
    world.end().await;
}

async fn an_ant_that_was_killed_goes_on_with_its_workspaces(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let order = git_order(id("job_1", NONCE), &bare, Some("work"));
    let plain = self::order(id("job_2", NONCE));
    world.ok(&order, "cd \"$JOB_WORKSPACE\"; echo x >file; git commit -qam x").await;
    world.ok(&plain, "echo kept >\"$JOB_WORKSPACE/file\"").await;
    world.ant.abort().await;
    // One that was being made when the ant died: claimed, with half a worktree.
    let half = git_order(id("job_3", NONCE), &bare, Some("half"));
    let store = world.store();
    let mut record = store.read(&order.id).unwrap().unwrap();
    record.id = half.id.clone();
    record.state = WorkspaceState::Preparing;
    record.git.as_mut().unwrap().branch = Some("half".to_owned());
    let facts = world.directory.path().join(format!("data/ant/workspaces/{}.json", WorkspaceStore::name(&half.id)));
    fs::write(facts, serde_json::to_vec(&record).unwrap()).unwrap();
    fs::create_dir(store.path(&half.id)).unwrap();
    let mirror = world.directory.path().join("data/ant/mirrors").join(format!("{}.git", record.git.unwrap().mirror));
    git(&mirror, &["branch", "half", "refs/remotes/origin/main"]);

    let World { directory, ant, .. } = world;
    drop(ant);
    let data = directory.path().join("data");
    let world =
        World::at(launchers.take(), directory, &data, |config| config.environment.retain(|(name, _)| name != "HOME"))
            .await
            .unwrap();
    eventually("the workspaces are named", || {
        let named = world.queen.named.lock().unwrap();
        [&order.id, &plain.id, &half.id].iter().all(|id| named.contains(id))
    })
    .await;
    let made = |order: &WorkspaceOrder| WorkspaceOrder { made: true, ..order.clone() };
    assert_eq!(world.ok(&made(&order), "cd \"$JOB_WORKSPACE\"; git log --format=%s").await, "x\none\n");
    assert_eq!(world.ok(&made(&plain), "cat \"$JOB_WORKSPACE/file\"").await, "kept\n");
    assert_eq!(world.ok(&half, "cd \"$JOB_WORKSPACE\"; cat file; git branch --show-current").await, "one\nhalf\n");
    assert_eq!(world.settled(&plain.id, JobState::Failed).await, None);
    world.end().await;
}

async fn a_mirror_that_was_left_locked_is_used_again(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let order = git_order(id("job_1", NONCE), &bare, Some("work"));
    world.ok(&order, "true").await;
    // The task's git was killed: the next task of the job can commit all the same.
    let made = WorkspaceOrder { made: true, ..order.clone() };
    world.ok(&made, "cd \"$JOB_WORKSPACE\"; touch \"$(git rev-parse --git-path index.lock)\"").await;
    world.ok(&made, "cd \"$JOB_WORKSPACE\"; echo x >file; git commit -qam x").await;
    world.ant.abort().await;
    let mirror = world.store().read(&order.id).unwrap().unwrap().git.unwrap().mirror;
    let mirror = world.directory.path().join(format!("data/ant/mirrors/{mirror}.git"));
    for lock in ["packed-refs.lock", "config.lock", "refs/remotes/origin/main.lock"] {
        fs::write(mirror.join(lock), "").unwrap();
    }
    let World { directory, ant, .. } = world;
    drop(ant);
    let data = directory.path().join("data");
    let world =
        World::at(launchers.take(), directory, &data, |config| config.environment.retain(|(name, _)| name != "HOME"))
            .await
            .unwrap();
    world.ok(&git_order(id("job_2", NONCE), &bare, Some("other")), "true").await;
    world.end().await;
}

async fn kept_workspaces_keep_to_the_quota_the_oldest_goes_first(mut launchers: Launchers) {
    let world = world(launchers.take(), |config| config.workspace_quota = 2500).await;
    let bare = repository(&world, "project");
    let unpushed = git_order(id("job_0", NONCE), &bare, Some("work"));
    world.ok(&unpushed, "head -c 1000 /dev/zero >\"$JOB_WORKSPACE/new\"").await;
    assert!(world.settled(&unpushed.id, JobState::Failed).await.is_some());
    let mut orders = Vec::new();
    for n in 1..=3 {
        let order = WorkspaceOrder { keep: KeepWorkspace::Always, ..order(id(&format!("job_{n}"), NONCE)) };
        world.ok(&order, "head -c 1000 /dev/zero >\"$JOB_WORKSPACE/x\"").await;
        assert!(world.settled(&order.id, JobState::Completed).await.is_some());
        orders.push(order);
    }
    let live = order(id("job_9", NONCE));
    world.ok(&live, "head -c 9000 /dev/zero >\"$JOB_WORKSPACE/x\"").await;
    let store = world.store();
    eventually("the quota is kept to", || store.read(&orders[1].id).unwrap().is_none()).await;
    assert!(store.read(&orders[0].id).unwrap().is_none());
    assert!(store.path(&orders[2].id).is_dir(), "the newest stays");
    assert!(store.path(&unpushed.id).is_dir(), "what is nowhere else stays");
    assert!(store.path(&live.id).is_dir(), "what is in use stays");
    world.end().await;
}

async fn a_kept_workspace_goes_when_its_time_is_over(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let ttl = Duration::from_millis(50);
    let plain = WorkspaceOrder { keep: KeepWorkspace::Always, ttl, ..order(id("job_1", NONCE)) };
    let unpushed = WorkspaceOrder { ttl, ..git_order(id("job_2", NONCE), &bare, Some("work")) };
    world.ok(&unpushed, "echo x >\"$JOB_WORKSPACE/new\"").await;
    world.ok(&plain, "true").await;
    world.release(&unpushed.id, JobState::Completed);
    world.release(&plain.id, JobState::Completed);
    let store = world.store();
    eventually("the workspace is swept", || {
        store.read(&plain.id).unwrap().is_none() && !store.path(&plain.id).exists()
    })
    .await;
    eventually("the other one was released", || {
        store.read(&unpushed.id).unwrap().is_some_and(|record| record.kept.is_some_and(|kept| kept.unpushed))
    })
    .await;
    assert!(store.path(&unpushed.id).join("new").exists());
    world.end().await;
}

async fn a_removal_from_outside_asks_first(mut launchers: Launchers) {
    let world = world(launchers.take(), |_| {}).await;
    let bare = repository(&world, "project");
    let order = git_order(id("job_1", NONCE), &bare, Some("work"));
    world.ok(&order, "echo x >\"$JOB_WORKSPACE/new\"").await;
    let store = world.store();
    let path = config(Path::new("/")).environment.into_iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    let remove =
        async |force| workspaces::remove(&store, &order.id, force, path.as_deref()).await.map_err(|e| e.to_string());
    assert_eq!(remove(false).await, Err("its job is not over".to_owned()));
    world.settled(&order.id, JobState::Completed).await;
    assert_eq!(remove(false).await, Err("unpushed work: 1 uncommitted change".to_owned()));
    assert!(store.path(&order.id).join("new").exists());
    assert_eq!(remove(true).await, Ok(()));
    assert!(!store.path(&order.id).exists() && store.read(&order.id).unwrap().is_none());
    assert_eq!(remove(true).await, Err("there is no such workspace".to_owned()));
    world.end().await;
}
