//! What a plan makes of a definition, and what it refuses.

use super::Plan;
use crate::definition::{JobDefinition, RouteMatch, RouteTarget};
use crate::engine::tests::kit::{depends, job, route, task};

/// `a -> b` routes, `a => b` depends (`b` on `a`); a number after a name is its `max_visits`.
fn graph(text: &str) -> JobDefinition {
    let mut definition = job(Vec::new());
    for part in text.split(',').map(str::trim) {
        let words: Vec<&str> = part.split_whitespace().collect();
        let mut ends = Vec::new();
        for word in words.iter().filter(|word| !word.contains('>')) {
            let name = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
            let position = definition.tasks.iter().position(|task| task.name == name).unwrap_or_else(|| {
                definition.tasks.push(task(name));
                definition.tasks.len() - 1
            });
            if let Ok(bound) = word[name.len()..].parse() {
                definition.tasks[position].max_visits = Some(bound);
            }
            ends.push(position);
        }
        let [from, to] = ends[..] else { continue };
        let (source, target) = (definition.tasks[from].name.clone(), definition.tasks[to].name.clone());
        if words[1] == "->" {
            let code = u16::try_from(definition.tasks[from].routes.len()).unwrap();
            definition.tasks[from].routes.push(route(RouteMatch::Code(code), RouteTarget::Tasks(vec![target])));
        } else {
            definition.tasks[to].dependencies.get_or_insert_default().push(depends(&source, false));
        }
    }
    definition
}

fn problems(definition: &JobDefinition) -> Vec<String> {
    let found = match Plan::build(definition) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    found.into_iter().map(|one| format!("{}: {} ({})", one.code, one.message, one.help.unwrap_or_default())).collect()
}

/// Header and tasks of each loop.
fn loops(text: &str) -> Vec<String> {
    let (plan, _) = Plan::build(&graph(text)).unwrap();
    let describe = |index: usize| {
        let found = &plan.loops[index];
        let tasks: Vec<&str> = found.tasks.iter().map(|task| plan.task_name(*task)).collect();
        format!("{}: {}", plan.task_name(found.header), tasks.join(" "))
    };
    (1..plan.loops.len()).map(describe).collect()
}

#[test]
fn a_loop_has_the_first_bounded_task_that_is_entered_from_outside_as_its_header() {
    assert_eq!(loops("start -> test, test3 -> fix, fix -> test"), ["test: test fix"]);
    assert_eq!(loops("start, x2 -> y2, y -> x, start -> y"), ["y: x y"]);
    assert_eq!(loops("start -> y, start -> x, x2 -> y, y -> x"), ["x: y x"]);
}

#[test]
fn loops_inside_loops_are_found() {
    assert_eq!(loops("o2 -> i, i2 -> j, j -> i, j -> o"), ["o: o i j", "i: i j"]);
}

#[test]
fn a_dependency_that_closes_a_loop_is_not_waited_for() {
    let (plan, _) = Plan::build(&graph("test3 -> fix, fix -> test, fix => test")).unwrap();
    let test = plan.task_index("test").unwrap();
    assert!(plan.task(test).entry && plan.task(test).incoming.is_empty());
    assert_eq!(plan.dependencies(test).len(), 1);
    let (plan, _) = Plan::build(&graph("a -> b, b => a")).unwrap();
    assert!(plan.task(plan.task_index("a").unwrap()).entry);
}

#[test]
fn cycles_without_a_bound_are_refused_with_their_path() {
    assert_eq!(
        problems(&graph("test -> fix, fix -> test")),
        [
            "E-UNBOUNDED-CYCLE: this loop has no bound and could run for ever: test → fix → test (add `max_visits` to task \"test\", e.g. `max_visits: 3`)"
        ]
    );
    assert_eq!(
        problems(&graph("a => b, b => c, c => a")),
        [
            "E-DEPENDENCY-CYCLE: these dependencies form a cycle: a → b → c → a (remove one of them: none of these tasks could ever start)"
        ]
    );
}

#[test]
fn an_unknown_name_comes_with_the_one_that_was_meant() {
    let mut definition = graph("build, test");
    definition.tasks[1].dependencies = Some(vec![depends("biuld", false)]);
    assert_eq!(
        problems(&definition),
        [
            "E-UNKNOWN-TASK: a dependency of task \"test\" names task \"biuld\", which does not exist (did you mean \"build\"?)"
        ]
    );
}

#[test]
fn a_forgotten_route_is_reported() {
    let found = problems(&graph("a -> b, c"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("E-UNREACHABLE: nothing leads to task \"c\""), "{found:?}");
    let mut definition = graph("a -> b, c");
    definition.tasks[2].dependencies = Some(Vec::new());
    assert!(problems(&definition).is_empty());
    let found = problems(&graph("a -> b, c2 -> d, d -> c"));
    assert!(found[0].starts_with("E-UNREACHABLE: nothing leads into the loop of task \"c\""), "{found:?}");
}

#[test]
fn a_list_of_routes_must_not_stay_in_a_loop_and_leave_it() {
    let mut definition = graph("test3 -> fix, fix -> test, test -> done");
    definition.tasks[0].routes =
        vec![route(RouteMatch::Code(1), RouteTarget::Tasks(vec!["fix".to_owned(), "done".to_owned()]))];
    let found = problems(&definition);
    assert!(
        found[0].starts_with("E-LOOP-SPLIT: this route of task \"test\" leads to \"fix\" and \"done\""),
        "{found:?}"
    );
}

#[test]
fn an_always_run_task_cannot_be_in_a_loop() {
    let mut definition = graph("test3 -> fix, fix -> test");
    definition.tasks[1].always_run = true;
    let found = problems(&definition);
    assert!(found[0].starts_with("E-ALWAYS-RUN-LOOP: task \"fix\" is always_run"), "{found:?}");
}

#[test]
fn dependencies_that_rule_one_another_out_are_a_warning() {
    let found = problems(&graph("a -> b, a -> c, b => d, c => d"));
    assert!(found.iter().any(|one| one.starts_with("W-EXCLUSIVE-DEPENDENCIES: task \"d\" never runs")), "{found:?}");
}

#[test]
fn a_handler_that_ends_without_a_word_is_a_warning() {
    let mut definition = job(vec![task("work"), task("notify")]);
    definition.tasks[0].routes = vec![route(RouteMatch::Failed, RouteTarget::Tasks(vec!["notify".to_owned()]))];
    let found = problems(&definition);
    assert!(found[0].starts_with("W-HANDLER-WITHOUT-END: a failure of task \"work\""), "{found:?}");
    definition.tasks[1].routes = vec![route(RouteMatch::Completed, RouteTarget::EndFailed)];
    assert!(problems(&definition).is_empty());
}

#[test]
fn ancestors_are_those_that_some_path_leads_from() {
    let (plan, _) = Plan::build(&graph("a -> b, b => c, d => c")).unwrap();
    let at = |name| plan.task_index(name).unwrap();
    assert!(plan.is_ancestor(at("a"), at("c")) && plan.is_ancestor(at("d"), at("c")));
    assert!(!plan.is_ancestor(at("c"), at("a")) && !plan.is_ancestor(at("d"), at("b")));
}
