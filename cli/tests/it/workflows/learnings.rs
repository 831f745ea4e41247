//! What jobs learn lies in the repository: every ant finds it there, and a repository that does not take it is no reason to fail.

use serde_json::Value;

use super::ground::shell;
use super::world::{REPO, World};
use crate::scratch::{Scratch, task};

/// The lines that there are.
pub(super) fn lessons(scratch: &Scratch) -> Vec<String> {
    let script =
        "cd project.git; git for-each-ref --format='%(objectname)' refs/notes | xargs -I ! git show !:learnings.md";
    shell(scratch, script).lines().map(str::to_owned).collect()
}

/// Agents learn this, not that.
fn taught(world: &World, before: &str, lesson: &str) {
    let agent = std::fs::read_to_string(world.scratch.path("agent")).expect("it is there");
    let changed = agent.replace(before, lesson);
    assert_ne!(changed, agent);
    world.scratch.write("agent", changed);
}

/// A job that is done, and what it was merged from.
fn merged(world: &World) -> (u64, Value) {
    let issue = world.issue("plain");
    let job = world.submit(issue, &[]);
    world.merge(world.followed(issue));
    let done = world.finished(&job);
    assert_eq!(done["state"], "COMPLETED", "{done:#}");
    (issue, done)
}

#[test]
fn jobs_that_end_together_each_leave_a_lesson_that_the_next_plan_reads() {
    let world = World::new(4);
    let issues: Vec<u64> = (0..3).map(|_| world.issue("plain")).collect();
    let jobs: Vec<String> = issues.iter().map(|issue| world.submit(*issue, &[])).collect();
    let pulls: Vec<u64> = issues.iter().map(|issue| world.followed(*issue)).collect();
    for pull in pulls {
        world.merge(pull);
    }
    for job in jobs {
        let done = world.finished(&job);
        assert_eq!(done["state"], "COMPLETED", "{done:#}");
        assert_eq!(task(&done, "remember")["state"], "COMPLETED", "{done:#}");
    }
    let kept = lessons(&world.scratch);
    assert_eq!(kept.len(), 3, "{kept:#?}");
    for issue in issues {
        let lesson = format!(" ({REPO}#{issue}): LESSON-OF-{issue}");
        assert_eq!(
            kept.iter().filter(|line| line.starts_with("- 20") && line.ends_with(&lesson)).count(),
            1,
            "{kept:#?}"
        );
    }
    let next = world.issue("plain");
    world.submit(next, &[]);
    world.followed(next);
    let told = world.seen(next, "plan.1.learnings.md");
    assert!(kept.iter().all(|line| told.contains(line)), "{told}");
    world.stop();
}

#[test]
fn only_the_newest_forty_lessons_are_kept_and_read() {
    let world = World::new(2);
    shell(
        &world.scratch,
        "cd seed; seq -f '- 2026-01-01 (old): lesson %g.' 60 >learnings.md; truncate -s -1 learnings.md # as some editors leave it
         tree=$(printf '100644 blob %s\\tlearnings.md\\n' \"$(git hash-object -w learnings.md)\" | git mktree)
         git push -q ../project.git \"$(git commit-tree -m old $tree):refs/notes/atta/learnings\"",
    );
    let (issue, _) = merged(&world);
    let told = world.seen(issue, "plan.1.learnings.md");
    assert!(told.contains("lesson 60.") && told.contains("lesson 21.") && !told.contains("lesson 20."), "{told}");
    assert!(world.seen(issue, "learn.1.learnings.md").contains("lesson 60."), "who learns knows what is known");
    let kept = lessons(&world.scratch);
    assert_eq!((kept.len(), kept[0].as_str()), (40, "- 2026-01-01 (old): lesson 22."), "{kept:#?}");
    world.stop();
}

#[test]
fn a_repository_that_refuses_the_lesson_changes_nothing_about_the_end() {
    let world = World::new(2);
    shell(
        &world.scratch,
        "printf '#!/bin/sh\\ncase $1 in refs/notes/*) echo no notes here >&2; exit 1 ;; esac\\n' >project.git/hooks/update
         chmod +x project.git/hooks/update",
    );
    world.upload("gh-implement", |text| text.replace("retry: 5 # another job", "retry: 1 # another job"));
    for (state, merged) in [("COMPLETED", true), ("BLOCKED", false)] {
        let issue = world.issue("plain");
        let job = world.submit(issue, &[]);
        let pull = world.followed(issue);
        if merged {
            world.merge(pull);
        } else {
            world.fake.state(|state| state.repo(REPO).issue(pull).open = false);
        }
        let done = world.finished(&job);
        assert_eq!(done["state"], state, "{done:#}");
        let remember = task(&done, "remember");
        assert_eq!((&remember["state"], &remember["attempts"]), (&"FAILED".into(), &2.into()), "{done:#}");
        let log = world.server().client(&["logs", &job, "remember"]).stdout;
        assert!(String::from_utf8_lossy(&log).contains("no notes here"), "{}", String::from_utf8_lossy(&log));
    }
    world.stop();
}

#[test]
fn a_lesson_with_a_secret_is_not_pushed_and_one_that_was_pushed_is_not_added_again() {
    let world = World::new(2);
    let key = ["ghp", "_n4Kd83jfLs02mVbQ7xRtYw19ZaEcGh56UiOp"].concat();
    taught(&world, "LESSON-OF-$issue", &format!("The key is {key}."));
    let (_, done) = merged(&world);
    let remember = task(&done, "remember");
    assert_eq!((&remember["exit_code"], &remember["attempts"]), (&3.into(), &1.into()), "{done:#}");
    assert_eq!(lessons(&world.scratch), Vec::<String>::new());

    // The push was taken, but its answer got lost: the next attempt finds the line.
    taught(&world, &format!("The key is {key}."), "Ça se dit à haute voix.");
    world.upload("gh-implement", |text| {
        text.replace("\"$commit:$LEARNINGS\"", "\"$commit:$LEARNINGS\"; echo pushed >&2; exit 1")
            .replace("retry: 5 # another job", "retry: 1 # another job")
    });
    let (issue, done) = merged(&world);
    let remember = task(&done, "remember");
    assert_eq!((&remember["state"], &remember["attempts"]), (&"COMPLETED".into(), &2.into()), "{done:#}");
    let kept = lessons(&world.scratch);
    assert_eq!(kept.len(), 1, "{kept:#?}");
    assert!(kept[0].ends_with(&format!("#{issue}): Ça se dit à haute voix.")), "{kept:#?}");
    world.stop();
}

#[test]
fn what_lies_there_instead_of_lessons_is_passed_over() {
    for (tree, exit_code) in [("040000 tree $(git mktree </dev/null)", 0), ("160000 commit $(git rev-parse HEAD)", 6)] {
        let world = World::new(2);
        shell(
            &world.scratch,
            &format!(
                "cd seed; tree=$(printf '%s\\tlearnings.md\\n' \"{tree}\" | git mktree)
                 git push -q ../project.git \"$(git commit-tree -m strange $tree):refs/notes/atta/learnings\""
            ),
        );
        let (issue, done) = merged(&world);
        let remember = task(&done, "remember");
        assert_eq!((&remember["exit_code"], &remember["attempts"]), (&exit_code.into(), &1.into()), "{done:#}");
        let kept = lessons(&world.scratch);
        let found = kept.iter().any(|line| line.ends_with(&format!("LESSON-OF-{issue}")));
        assert_eq!(found, exit_code == 0, "{kept:#?}");
        world.stop();
    }
}
