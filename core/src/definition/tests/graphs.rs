//! What only the whole graph shows.

use super::problems;

fn job(tasks: &str) -> String {
    let tasks: String = tasks.lines().map(|line| format!("- {{script: [x], {line}}}\n")).collect();
    format!("job_type: a\ntasks:\n{tasks}")
}

/// The codes with their lines.
fn codes(source: &str) -> Vec<String> {
    problems(source)
        .iter()
        .map(|one| {
            let (place, rest) = one.split_once(' ').unwrap();
            format!("{} {}", place.split_once(':').unwrap().0, rest.split_once(':').unwrap().0)
        })
        .collect()
}

#[test]
fn a_route_to_nowhere_is_refused_with_what_was_probably_meant() {
    let found = problems(&job("task_type: build, on_completed: tets\ntask_type: test, dependencies: [build]"));
    assert!(
        found[0].contains("E-UNKNOWN-TASK") && found[0].contains("\"tets\"") && found[0].contains("test"),
        "{found:?}"
    );
    let found = problems(&job("task_type: build\ntask_type: test, dependencies: [buidl]"));
    assert!(found[0].contains("E-UNKNOWN-TASK") && found[0].contains("\"buidl\""), "{found:?}");
}

#[test]
fn a_loop_without_bound_is_refused() {
    assert_eq!(codes(&job("task_type: build, on_failed: build")), ["3 E-UNBOUNDED-CYCLE"]);
    assert_eq!(codes(&job("task_type: build, on_failed: build, max_visits: 3")), [""; 0]);
    assert_eq!(
        codes(&job("task_type: build, on_completed: test\ntask_type: test, on_failed: build")),
        ["3 E-UNBOUNDED-CYCLE"]
    );
}

#[test]
fn a_task_that_nothing_reaches_is_refused() {
    let source = job("task_type: one, on_completed: two\ntask_type: two\ntask_type: forgotten");
    assert_eq!(codes(&source), ["5 E-UNREACHABLE"]);
}

#[test]
fn dependencies_that_wait_for_each_other_are_refused() {
    let found = codes(&job("task_type: one, dependencies: [two]\ntask_type: two, dependencies: [one]"));
    assert_eq!(found, ["3 E-DEPENDENCY-CYCLE"]);
}

#[test]
fn what_only_the_whole_graph_shows_is_not_guessed_from_a_part_of_it() {
    // The route that would reach `two` is wrong, and says so; that nothing reaches `two` follows from that.
    let found = codes(&job("task_type: one, on_exit_code: {999: two, 1: three}\ntask_type: two\ntask_type: three"));
    assert_eq!(found, ["3 E-RANGE"]);
}
