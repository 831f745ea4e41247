//! Graphs that have no order, no end, or too many edges.

use std::fmt::Write as _;

use super::{Case, Class, case};

fn tasks(count: usize, mut keys: impl FnMut(usize) -> String) -> String {
    let mut text = String::from("job_type: hostile\ntasks:\n");
    for n in 0..count {
        let _ = writeln!(text, "  - {{task_type: t{n}, script: [echo]{}}}", keys(n));
    }
    text
}

pub(super) fn cases() -> Vec<Case> {
    use Class::{Accepted, Code};
    let all_before = |n: usize| (0..n).map(|m| format!("t{m}")).collect::<Vec<_>>().join(", ");
    vec![
        case(
            "a task that waits for itself and another",
            tasks(2, |n| if n == 0 { ", dependencies: [t0, t1]".into() } else { ", dependencies: [t0]".into() }),
            Code("E-DEPENDENCY-CYCLE"),
        ),
        case(
            "a circle of dependencies",
            tasks(3, |n| format!(", dependencies: [t{}]", (n + 1) % 3)),
            Code("E-DEPENDENCY-CYCLE"),
        ),
        case(
            "a large circle of dependencies",
            tasks(1_000, |n| format!(", dependencies: [t{}]", (n + 1) % 1_000)),
            Code("E-DEPENDENCY-CYCLE"),
        ),
        case(
            "a loop without a bound",
            tasks(3, |n| format!(", on_completed: t{}", (n + 1) % 3)),
            Code("E-UNBOUNDED-CYCLE"),
        ),
        case("a task that leads to itself", tasks(1, |_| ", on_failed: t0".into()), Code("E-UNBOUNDED-CYCLE")),
        case(
            "a bounded loop of all tasks",
            tasks(1_000, |n| {
                format!(", on_completed: t{}{}", (n + 1) % 1_000, if n == 0 { ", max_visits: 3" } else { "" })
            }),
            Accepted,
        ),
        case(
            "nested loops",
            tasks(200, |n| format!(", max_visits: 2, on_failed: t0, on_completed: t{}", (n + 1).min(199))),
            Accepted,
        ),
        case(
            "every task leads to every task",
            tasks(70, |n| {
                format!(
                    ", max_visits: 9, on_exit_code: {{{}}}",
                    (0..70).filter(|m| *m != n).map(|m| format!("{m}: t{m}")).collect::<Vec<_>>().join(", ")
                )
            }),
            Code("E-LOOP-DEPTH"),
        ),
        case(
            "tasks that nobody reaches",
            tasks(3, |n| if n == 0 { ", on_completed: t1".into() } else { String::new() }),
            Code("E-UNREACHABLE"),
        ),
        case(
            "an always_run task in a loop",
            tasks(2, |n| {
                if n == 0 {
                    ", max_visits: 2, on_completed: t1".into()
                } else {
                    ", always_run: true, on_completed: t0".into()
                }
            }),
            Code("E-ALWAYS-RUN-LOOP"),
        ),
        case(
            "a list that leaves its loop in part",
            tasks(3, |n| match n {
                0 => ", max_visits: 2, on_completed: [t1, t2]".into(),
                1 => ", on_completed: t0".into(),
                _ => String::new(),
            }),
            Code("E-LOOP-SPLIT"),
        ),
        case("an unknown dependency", tasks(1, |_| ", dependencies: [nobody]".into()), Code("E-UNKNOWN-TASK")),
        case("ten thousand tasks", tasks(10_000, |_| String::new()), Accepted),
        case(
            "ten thousand in a chain",
            tasks(10_000, |n| if n == 0 { String::new() } else { format!(", dependencies: [t{}]", n - 1) }),
            Accepted,
        ),
        case(
            "thousands in a chain of routes",
            tasks(4_000, |n| if n == 3_999 { String::new() } else { format!(", on_completed: t{}", n + 1) }),
            Accepted,
        ),
        case(
            "one that waits for thousands",
            tasks(3_000, |n| if n == 2_999 { format!(", dependencies: [{}]", all_before(n)) } else { String::new() }),
            Accepted,
        ),
        case(
            "each waits for all before",
            tasks(150, |n| if n == 0 { String::new() } else { format!(", dependencies: [{}]", all_before(n)) }),
            Accepted,
        ),
        case("one task too many", tasks(10_001, |_| String::new()), Code("E-TOO-MANY-TASKS")),
        case(
            "thousands of tasks of one name",
            "job_type: x\ntasks:\n".to_owned() + &"  - {task_type: a, script: [b]}\n".repeat(2_000),
            Code("E-DUPLICATE-TASK"),
        ),
        case(
            "thousands of unknown dependencies",
            tasks(1_000, |n| format!(", dependencies: [x{n}, y{n}]")),
            Code("E-UNKNOWN-TASK"),
        ),
        case(
            "thousands of misspelt keys",
            tasks(1_000, |_| ", timeuot: 1s, dependancies: []".into()),
            Code("E-UNKNOWN-KEY"),
        ),
        case(
            "large defaults for thousands of tasks",
            format!(
                "job_type: x\ndefaults: {{before_script: [\"{}\"]}}\n{}",
                "x".repeat(100_000),
                tasks(2_000, |_| String::new()).trim_start_matches("job_type: hostile\n")
            ),
            Code("E-ALIAS-EXPANSION"),
        ),
        case("a task that is a text", "job_type: x\ntasks: [one, two]\n", Code("E-TYPE")),
        case("tasks as a mapping", "job_type: x\ntasks: {one: {script: [b]}}\n", Code("E-TYPE")),
        case("no tasks", "job_type: x\ntasks: []\n", Code("E-VALUE")),
        case("tasks that are nothing", "job_type: x\ntasks: [~, ~]\n", Code("E-TYPE")),
    ]
}
