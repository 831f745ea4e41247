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
        let class = match value {
            "0x10" | "0o7" | "3 # x" => Class::Accepted,
            "-1" | "-0" | "99999999999999999999" => Class::Code("E-RANGE"),
            "-" => Class::Code("E-YAML"),
            "!!float 3" => Class::Code("E-YAML-TAG"),
            _ => Class::Code("E-TYPE"),
        };
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
        let class = match value {
            "1s " => Class::Accepted,
            "[1s]" | "{}" | "~" => Class::Code("E-TYPE"),
            _ => Class::Code("E-DURATION"),
        };
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
        let class = match name {
            "null" => Class::Accepted,
            "COMPLETED" | "ERR_X" | "*" | "TIMED_OUT" => Class::Code("E-RESERVED-NAME"),
            _ => Class::Code("E-NAME"),
        };
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
            Class::Code("E-NAME"),
        ));
    }
    for name in ["PATH=x", "A-B", "1A", "", "ATTA_JOB_ID", "TASK_DIR", "A B", "A\\0B", "ä", "LD_PRELOAD\\n"] {
        let code = if matches!(name, "ATTA_JOB_ID" | "TASK_DIR") { "E-RESERVED-NAME" } else { "E-NAME" };
        all.push(case(
            format!("environment {name:?}"),
            with_job(&format!("environment: {{\"{name}\": x}}")),
            Class::Code(code),
        ));
    }
    for name in ["JobID", "tasks", "secrets", "true", "loop", "a-b", "1x", "", "params"] {
        let code = if matches!(name, "a-b" | "1x" | "") { "E-NAME" } else { "E-RESERVED-NAME" };
        all.push(case(
            format!("param {name:?}"),
            format!("job_type: x\nparams: {{\"{name}\": {{}}}}\ntasks: [{{task_type: a, script: [b]}}]\n"),
            Class::Code(code),
        ));
    }
    for path in ["/etc/passwd", "../x", "a/../../x", "~/x", "", " ", "a\\nb", "a/..", "..", "\\0"] {
        all.push(case(
            format!("artifact {path:?}"),
            with_task(&format!("    script: [echo]\n    artifacts: {{paths: [\"{path}\"]}}\n")),
            Class::Code("E-PATH"),
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
        "L * * * *",
        "0 L * * *",
        "0 0 1 L *",
        ", 0 0 1 1 *",
        "0 , , , ,",
        "0 0 1,,2 * *",
        "5W * * * *",
        "MON * * * *",
        "0 0 * MON *",
        "0 0 * * JAN",
        "0 0 * * MONMON",
        "0 0 * * MO",
        "0 0 * * 1#9",
        "0 0 40W * *",
    ] {
        let code = if line == "0 0 30 2 *" { "E-CRON-NEVER" } else { "E-CRON" };
        all.push(case(format!("cron {line:?}"), with_job(&format!("cron_trigger: \"{line}\"")), Class::Code(code)));
    }
    for zone in ["Mars/Olympus", "", "../../etc/passwd", "europe berlin", "{{ X }}", "/etc/localtime", "UTC+25"] {
        all.push(case(
            format!("timezone {zone:?}"),
            with_job(&format!("cron_trigger: \"0 0 * * *\"\ntimezone: \"{zone}\"")),
            Class::Code("E-TIMEZONE"),
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
        let class = if pattern == "\\\\" { Class::Accepted } else { Class::Code("E-PATTERN") };
        all.push(case(
            format!("pattern {pattern:?}"),
            format!("job_type: x\nparams: {{P: {{pattern: '{pattern}'}}}}\ntasks: [{{task_type: a, script: [b]}}]\n"),
            class,
        ));
    }
    for (target, code) in [
        ("nowhere", "E-UNKNOWN-TASK"),
        ("3", "E-UNKNOWN-TASK"),
        ("[]", "E-ROUTE-TARGET"),
        ("[one, one]", "E-ROUTE-TARGET"),
        ("[FATAL]", "E-ROUTE-TARGET"),
        ("TIMED_OUT", "E-ROUTE-TARGET"),
        ("\"{{ X }}\"", "E-ROUTE-TARGET"),
        ("ERR_", "E-ROUTE-TARGET"),
        ("ERR_x", "E-ROUTE-TARGET"),
        ("{goto: one, reschedule: 1m}", "E-CONFLICT"),
        ("{}", "E-MISSING-KEY"),
        ("{max: 3}", "E-MISSING-KEY"),
        ("{goto: }", "E-TYPE"),
        ("[[one]]", "E-TYPE"),
        ("{reschedule: 0s}", "E-DURATION"),
    ] {
        all.push(case(
            format!("route to {target}"),
            with_task(&format!("    script: [echo]\n    on_exit_code: {{3: {target}}}\n")),
            Class::Code(code),
        ));
    }
    for result in ["256", "-1", "0-", "9-3", "COMPLETE", "1-999", "01", "1.5", "\"\"", "0x3"] {
        let code = if matches!(result, "256" | "1-999") { "E-RANGE" } else { "E-ROUTE-RESULT" };
        all.push(case(
            format!("route on {result}"),
            with_task(&format!("    script: [echo]\n    on_exit_code: {{{result}: END_FAILED}}\n")),
            Class::Code(code),
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
        Class::Code("E-RANGE"),
    ));
    all
}
