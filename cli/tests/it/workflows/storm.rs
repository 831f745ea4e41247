//! Many issues at once, while GitHub fails at random and the server is killed again and again.
//!
//! `make test` does a small one. `make storm` does the whole: `ATTA_STORM_ISSUES`, `ATTA_STORM_KILLS` and `ATTA_STORM_SEED` say how
//! much of it, and with which dice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use atta_fake_github::{Fault, Rule};
use serde_json::Value;

use super::learnings::lessons;
use super::world::{REPO, World};
use crate::dice::Dice;
use crate::live_server::{number, wait_at_most};

/// How issues go, over and over.
const MODES: [&str; 6] = ["plain", "mended", "plain", "blocked", "plain", "failing"];

/// How long the workflow waits for an answer of GitHub.
const PATIENCE: Duration = Duration::from_secs(2);

fn fault(dice: &mut Dice) -> Rule {
    let method = ["GET", "POST", "PATCH", "DELETE", "*"][usize::try_from(dice.below(5)).expect("it is small")];
    let rule = Rule::on(method, "").after(usize::try_from(dice.below(6)).expect("it is small"));
    rule.once(match dice.below(10) {
        0 => Fault::Status(500),
        1 => Fault::Status(502),
        2 => Fault::DoneBut(503),
        3 => Fault::CutBefore,
        4 => Fault::CutAfter,
        5 => Fault::CutWithin,
        6 => Fault::PrimaryLimit(1),
        7 => Fault::SecondaryLimit(Some(1)),
        8 => Fault::Silent(2 * PATIENCE),
        _ => Fault::TooMany(1),
    })
}

/// When nothing has moved for this long, it will not move any more.
const STUCK: Duration = Duration::from_mins(4);

/// One issue, and what was done to it.
struct Course {
    issue: u64,
    mode: &'static str,
    merged: bool,
    /// Somebody has said something on its pull request.
    commented: bool,
}

/// What is not yet as it has to be in the end.
fn missing(world: &World, course: &Course, jobs: &[Value]) -> Option<String> {
    let Course { issue, mode, merged, commented } = *course;
    let key = format!("{REPO}#{issue}");
    let of_issue: Vec<&Value> = jobs.iter().filter(|job| job["user_key"] == key.as_str()).collect();
    let state = of_issue.first().map_or("", |job| job["state"].as_str().unwrap_or_default());
    let (labels, said, pulls) = (world.labels(issue).join(" "), world.said(issue).len(), world.pulls(issue));
    let answers = pulls.first().map_or(0, |pull| world.said(*pull).len());
    let expected = match mode {
        "blocked" => {
            of_issue.len() == 1 && state == "BLOCKED" && labels == "needs-human" && said == 1 && pulls.is_empty()
        }
        "failing" => {
            of_issue.len() == 1 && state == "FAILED" && labels == "needs-human" && said == 1 && pulls.is_empty()
        }
        _ => {
            let followed = ["RUNNING", "WAITING"].contains(&state) && labels == "ai-pr-open";
            let ended = state == "COMPLETED" && labels.is_empty();
            let here = if merged { ended } else { followed };
            of_issue.len() == 1 && here && said == 0 && pulls.len() == 1 && answers == usize::from(commented)
        }
    };
    let sight = format!(
        "{mode} {issue}: {} jobs, {state}, [{labels}], {said} comments, pulls {pulls:?}, {answers} answers, merged {merged}",
        of_issue.len()
    );
    (!expected).then_some(sight)
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
    let limit = format!("{{{{ Api }}}}\", request_timeout: {}s, number", PATIENCE.as_secs());
    world.upload("gh-implement", |text| text.replace("{{ Api }}\", number", &limit));
    world.pick_every_second();
    let modes = MODES.iter().cycle().take(usize::try_from(issues).expect("not so many"));
    let course = |mode: &&'static str| Course { issue: world.issue(mode), mode, merged: false, commented: false };
    let mut courses: Vec<Course> = modes.map(course).collect();
    for course in &courses {
        world.label(course.issue, "ai-ready");
    }
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(300 + dice.below(2_500)));
        for _ in 0..=dice.below(2) {
            world.inject(fault(&mut dice));
        }
        people(&world, &mut courses, &mut dice);
        println!("kill {kill}");
        world.kill();
        world.start();
    }
    world.fake.heal();
    let mut left: Vec<String> = Vec::new();
    let begun = Instant::now();
    let mut moved = begun;
    // A slow machine takes longer; what is stuck does not move at all.
    while moved.elapsed() < STUCK && begun.elapsed() < 4 * STUCK {
        people(&world, &mut courses, &mut dice);
        let jobs = world.jobs("gh-implement");
        let before = left;
        left = courses.iter().filter_map(|course| missing(&world, course, &jobs)).collect();
        if left != before {
            moved = Instant::now();
        }
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(left.is_empty(), "{left:#?}");
    check(&world, &courses);
    world.stop();
}

/// People go on meanwhile: they comment on what is followed, or merge it.
fn people(world: &World, courses: &mut [Course], dice: &mut Dice) {
    for course in courses.iter_mut().filter(|course| !course.merged && !course.commented) {
        let pulls = world.pulls(course.issue);
        let (true, Some(pull)) = (world.labels(course.issue) == ["ai-pr-open"], pulls.first()) else { continue };
        match dice.below(3) {
            0 => {
                world.merge(*pull);
                course.merged = true;
            }
            1 => {
                world.fake.state(|state| state.repo(REPO).comment(*pull, "ada", "Louder, please."));
                course.commented = true;
            }
            _ => {}
        }
    }
}

fn check(world: &World, courses: &[Course]) {
    let kept = lessons(&world.scratch);
    let of = |issue: u64| kept.iter().filter(|line| line.contains(&format!("#{issue}): "))).count();
    for course in courses {
        assert_eq!(of(course.issue), usize::from(course.merged), "{}: {kept:#?}", course.issue);
    }
    // Nothing was paid for twice.
    for (issue, sessions) in world.sessions() {
        let once: BTreeSet<&String> = sessions.iter().collect();
        assert_eq!(once.len(), sessions.len(), "{issue}: {sessions:?}");
    }
    let open =
        courses.iter().filter(|course| !course.merged).filter_map(|course| world.pulls(course.issue).first().copied());
    let heads: BTreeSet<String> =
        open.map(|pull| world.fake.state(|state| state.repo(REPO).pull(pull).head.clone())).collect();
    assert_eq!(world.branches().into_iter().collect::<BTreeSet<_>>(), heads);
    // Those of jobs that failed are kept.
    wait_at_most(Duration::from_mins(1), "workspaces of jobs that have ended not to be in use", || {
        let used = world.workspaces().into_iter().filter(|state| state != "kept").count();
        (used == heads.len()).then_some(())
    });
}
