//! Values that are no values of their keys.

use super::{Case, Class, case, with_job, with_task};

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let weird = [
        "-1",
        "-0",
        "1e3",
        "0x10",
        "0o7",
        "1_000",
        "1.5",
        ".inf",
        "-.inf",
        ".nan",
        "99999999999999999999",
        "1e999",
        "\"3\"",
        "٣",
        "[]",
        "{}",
        "~",
        "true",
        "!!float 3",
        "0b1",
        "3 # x",
        "'3'",
        "1,000",
        "+",
        "-",
    ];
    for value in weird {
        // All of these are refused but those that are whole numbers in another notation.
        let class = if matches!(value, "0x10" | "0o7" | "3 # x") { Class::Accepted } else { Class::Refused };
        all.push(case(
            format!("max_visits: {value}"),
            with_task(&format!("    script: [echo]\n    max_visits: {value}\n    on_failed: one\n")),
            class,
        ));
    }
    for value in [
        "5",
        "5 minutes",
        "-1s",
        "0s",
        "1h1h",
        "30m2h",
        "99999999d",
        "1s ",
        "PT5M",
        "5M",
        "∞",
        "1e3s",
        "[1s]",
        "{}",
        "~",
        "1.5h",
        "s",
        "99999999999999999999999s",
    ] {
        let class = if value == "1s " { Class::Accepted } else { Class::Refused };
        all.push(case(
            format!("timeout: {value}"),
            with_task(&format!("    script: [echo]\n    timeout: {value}\n")),
            class,
        ));
    }
    for name in [
        "",
        " ",
        ".",
        "..",
        "../../etc",
        "a/b",
        "COMPLETED",
        "ERR_X",
        "*",
        "TIMED_OUT",
        "-x",
        "a b",
        "ä",
        "$(id)",
        "`id`",
        "a\\n",
        "{{ X }}",
        "null",
        "a\u{202e}b",
    ] {
        let class = if name == "null" { Class::Accepted } else { Class::Refused };
        all.push(case(
            format!("task_type: {name:?}"),
            format!("job_type: x\ntasks: [{{task_type: \"{name}\", script: [echo]}}]\n"),
            class,
        ));
    }
    all.push(case(
        "a name of 101 letters",
        format!("job_type: {}\ntasks: [{{task_type: a, script: [b]}}]\n", "x".repeat(101)),
        Class::Code("E-NAME"),
    ));
    for name in ["Upper", "a/b", "../x", "a b", "", "-a", "{{ X }}", "ä", "con\u{0301}"] {
        all.push(case(
            format!("job_type: {name:?}"),
            format!("job_type: \"{name}\"\ntasks: [{{task_type: a, script: [b]}}]\n"),
            Class::Refused,
        ));
    }
    for name in ["PATH=x", "A-B", "1A", "", "ATTA_JOB_ID", "TASK_DIR", "A B", "A\\0B", "ä", "LD_PRELOAD\\n"] {
        all.push(case(
            format!("environment {name:?}"),
            with_job(&format!("environment: {{\"{name}\": x}}")),
            Class::Refused,
        ));
    }
    for name in ["JobID", "tasks", "secrets", "true", "loop", "a-b", "1x", "", "params"] {
        all.push(case(
            format!("param {name:?}"),
            format!("job_type: x\nparams: {{\"{name}\": {{}}}}\ntasks: [{{task_type: a, script: [b]}}]\n"),
            Class::Refused,
        ));
    }
    for path in ["/etc/passwd", "../x", "a/../../x", "~/x", "", " ", "a\\nb", "a/..", "..", "\\0"] {
        all.push(case(
            format!("artifact {path:?}"),
            with_task(&format!("    script: [echo]\n    artifacts: {{paths: [\"{path}\"]}}\n")),
            Class::Refused,
        ));
    }
    for line in [
        "* * * *",
        "60 * * * *",
        "* * * * * * * *",
        "",
        "a b c d e",
        "*/0 * * * *",
        "0 0 30 2 *",
        "99999999999 * * * *",
        "-1 * * * *",
        "@never",
        "{{ X }}",
        "1-1000000000 * * * *",
        "*/1/1 * * * *",
        ",,,, * * * *",
    ] {
        all.push(case(format!("cron {line:?}"), with_job(&format!("cron_trigger: \"{line}\"")), Class::Refused));
    }
    for zone in ["Mars/Olympus", "", "../../etc/passwd", "europe berlin", "{{ X }}", "/etc/localtime", "UTC+25"] {
        all.push(case(
            format!("timezone {zone:?}"),
            with_job(&format!("cron_trigger: \"0 0 * * *\"\ntimezone: \"{zone}\"")),
            Class::Refused,
        ));
    }
    for pattern in [
        "(",
        "[",
        "a{999999999}",
        "(?<n",
        "\\\\",
        "(((((((((((((((((((((((a{9}){9}){9}){9}){9}){9}){9}){9}){9}){9}))))))))))))))",
        "*",
    ] {
        all.push(case(
            format!("pattern {pattern:?}"),
            format!("job_type: x\nparams: {{P: {{pattern: '{pattern}'}}}}\ntasks: [{{task_type: a, script: [b]}}]\n"),
            Class::Refused,
        ));
    }
    for target in [
        "nowhere",
        "[]",
        "[one, one]",
        "[FATAL]",
        "TIMED_OUT",
        "\"{{ X }}\"",
        "ERR_",
        "ERR_x",
        "{goto: one, reschedule: 1m}",
        "{}",
        "{goto: }",
        "{max: 3}",
        "3",
        "[[one]]",
        "{reschedule: 0s}",
    ] {
        all.push(case(
            format!("route to {target}"),
            with_task(&format!("    script: [echo]\n    on_exit_code: {{3: {target}}}\n")),
            Class::Refused,
        ));
    }
    for code in ["256", "-1", "0-", "9-3", "COMPLETE", "1-999", "01", "1.5", "\"\"", "0x3"] {
        all.push(case(
            format!("route on {code}"),
            with_task(&format!("    script: [echo]\n    on_exit_code: {{{code}: END_FAILED}}\n")),
            Class::Refused,
        ));
    }
    all.push(case(
        "overlapping ranges",
        with_task("    script: [echo]\n    on_exit_code: {\"1-9\": END_FAILED, \"5-12\": END_BLOCKED}\n"),
        Class::Code("E-ROUTE-OVERLAP"),
    ));
    all.push(case(
        "more routes than results",
        with_task(&format!(
            "    script: [echo]\n    on_exit_code: {{{}}}\n",
            (0..1000).map(|n| format!("\"{n}-{n}\": END_FAILED")).collect::<Vec<_>>().join(", ")
        )),
        Class::Refused,
    ));
    all
}
