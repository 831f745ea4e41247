//! What is refused, and what the message says.

use super::{definition, problems};
use crate::definition::{Limits, Loaded, Severity, load};

/// One problem exactly, with its position, code, message and help.
pub(super) fn only(source: &str, expected: &str) {
    let found = problems(source);
    assert_eq!(found, [expected], "for:\n{source}");
}

/// A task with extra lines, in a definition that is otherwise fine. The lines begin on line 4.
fn task(lines: &str) -> String {
    format!("job_type: a\ntasks:\n- task_type: build\n{}\n", indented(lines, "  "))
}

/// The same with a script.
fn shell(lines: &str) -> String {
    format!(
        "job_type: a\ntasks:\n- {{task_type: other, script: [x], dependencies: []}}\n- task_type: build\n  dependencies: []\n  script: [make]\n{}\n",
        indented(lines, "  ")
    )
}

/// A job with extra lines, which begin on line 2.
fn job(lines: &str) -> String {
    format!("job_type: a\n{lines}\ntasks:\n- {{task_type: build, script: [make]}}\n")
}

fn indented(lines: &str, by: &str) -> String {
    lines.lines().map(|line| format!("{by}{line}")).collect::<Vec<_>>().join("\n")
}

fn load_bytes(source: &[u8]) -> Loaded {
    load("flow.yaml", source, &Limits::default())
}

fn only_message(loaded: &Loaded) -> (&'static str, &str) {
    assert_eq!(loaded.diagnostics.len(), 1, "{:?}", loaded.diagnostics);
    assert!(loaded.definition.is_none());
    (loaded.diagnostics[0].code, &loaded.diagnostics[0].message)
}

mod files {
    use super::*;

    #[test]
    fn an_empty_file_is_called_empty() {
        for source in ["", "\n\n", "# a comment\n", "\u{feff}"] {
            assert_eq!(only_message(&load_bytes(source.as_bytes())), ("E-EMPTY", "flow.yaml is empty"));
        }
        for source in ["---\n", "null\n", "---\n...\n"] {
            assert_eq!(only_message(&load_bytes(source.as_bytes())), ("E-EMPTY", "flow.yaml holds no definition"));
        }
    }

    #[test]
    fn a_binary_file_is_called_binary_with_the_byte() {
        let loaded = load_bytes(b"\x7fELF\x02\x01\x01\0\0");
        assert_eq!(
            only_message(&loaded),
            ("E-BINARY", "flow.yaml is a binary file: byte 0x02 stands at offset 4, line 1")
        );
        assert_eq!(only_message(&load_bytes(b"job_type: a\nx: \0\n")).0, "E-BINARY");
    }

    #[test]
    fn text_in_another_encoding_is_called_so() {
        let loaded = load_bytes(b"job_type: a\ndescription: caf\xe9\n");
        assert_eq!(only_message(&loaded), ("E-ENCODING", "flow.yaml is not UTF-8: byte 0xe9 at offset 28, line 2"));
    }

    #[test]
    fn a_byte_order_mark_is_no_problem() {
        assert_eq!(problems("\u{feff}job_type: a\ntasks:\n- {task_type: t, script: [x]}\n"), [""; 0]);
    }

    #[test]
    fn five_megabytes_are_too_large() {
        let source = format!("job_type: a\n# {}\n", "x".repeat(5 << 20));
        let loaded = load_bytes(source.as_bytes());
        assert_eq!(
            only_message(&loaded),
            ("E-TOO-LARGE", "flow.yaml has 5242895 bytes, and a definition may have 4194304")
        );
    }

    #[test]
    fn an_alias_bomb_is_stopped_while_it_grows() {
        let mut source = String::from("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for (name, before) in "bcdefghij".chars().zip("abcdefghi".chars()) {
            source.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", ")));
        }
        let loaded = load_bytes(source.as_bytes());
        assert_eq!(
            only_message(&loaded),
            ("E-ALIAS-EXPANSION", "aliases make this document more than 10 times as large as it is written")
        );
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 50].join(", "));
        assert_eq!(only_message(&load_bytes(long.as_bytes())).0, "E-ALIAS-EXPANSION");
        let within = only_message(&load_bytes(b"a: &a [*a]\n")).0;
        assert_eq!(within, "E-ALIAS-EXPANSION");
    }

    #[test]
    fn large_defaults_for_many_tasks_are_an_expansion_too() {
        let mut source = format!("job_type: a\ndefaults: {{script: [\"{}\"]}}\ntasks:\n", "x".repeat(100_000));
        (0..5_000).for_each(|n| source.push_str(&format!("- task_type: t{n}\n")));
        let (code, message) = (problems(&source), "`defaults` of 100032 bytes for 5000 tasks");
        assert!(code[0].contains("E-ALIAS-EXPANSION") && code[0].contains(message), "{code:?}");
    }

    #[test]
    fn deep_nesting_is_stopped_whatever_makes_it() {
        let flow = format!("a: {}", "[".repeat(20_000));
        let mut block = String::new();
        (0..100).for_each(|n| block.push_str(&format!("{}a:\n", " ".repeat(n))));
        let mut aliased = String::from("a0: &a0 [x]\n");
        (1..100).for_each(|n| aliased.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1)));
        for source in [flow, block, aliased] {
            assert_eq!(only_message(&load_bytes(source.as_bytes())), ("E-DEPTH", "more than 64 levels of nesting"));
        }
    }

    #[test]
    fn too_many_values_are_stopped() {
        let source = format!("a: [{}]", "1,".repeat(1 << 20));
        let (code, message) = (load_bytes(source.as_bytes()), "more than 500000 YAML values in one file");
        assert_eq!(only_message(&code), ("E-NODES", message));
    }

    #[test]
    fn ten_thousand_and_one_tasks_are_too_many() {
        let mut source = String::from("job_type: a\ntasks:\n");
        (0..10_001).for_each(|n| source.push_str(&format!("- {{task_type: t{n}, script: [x]}}\n")));
        only(
            &source,
            "10003:3 E-TOO-MANY-TASKS: a definition may have 10000 tasks, and this one has 10001 (split the work into several jobs)",
        );
    }

    #[test]
    fn tabs_are_explained() {
        for (source, at) in [
            ("job_type: a\ntasks:\n\t- task_type: b\n", "3:1"),
            ("job_type: a\ntasks:\n- task_type: b\n\tscript: [x]\n", "4:1"),
            ("job_type: a\ntasks:\n- task_type: b\n  script:\n  \t- x\n", "5:3"),
        ] {
            only(
                source,
                &format!(
                    "{at} E-TAB: YAML does not allow tabs for indentation (indent with spaces; most editors can convert the whole file)"
                ),
            );
        }
    }

    #[test]
    fn a_second_document_is_refused() {
        let found = problems("job_type: a\n---\njob_type: b\n");
        assert!(found[0].starts_with("2:1 E-MULTIPLE-DOCUMENTS: a second YAML document begins here"), "{found:?}");
    }

    #[test]
    fn after_a_syntax_error_only_that_error_is_reported() {
        let found = problems("job_type: A B\njob_type: b\nfoo: [1\ntasks: 5\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("E-YAML: this is not valid YAML"), "{found:?}");
        for (source, says) in [
            ("a: b: c\n", "`:` begins a value where none can stand"),
            ("job_type: \"a\n", "a quoted text is never closed"),
            ("labels: {a: %x}\n", "unquoted text cannot begin with `%`"),
            ("tasks: [\n", "`[` is never closed"),
            ("a: 1\n b\nc\n", "this is not valid YAML"),
        ] {
            let found = problems(source);
            assert!(found.len() == 1 && found[0].contains(says), "{source:?}: {found:?}");
        }
    }

    #[test]
    fn keys_tags_aliases_and_merges_that_make_no_sense_are_named() {
        let found = problems(
            "job_type: a\n? [x]\n: y\nlabels: {a: !!binary b, c: !mine d}\ndescription: *nothing\n<<: [5]\ntasks: [{task_type: t, script: [x]}]\n",
        );
        let codes: Vec<&str> = found.iter().map(|one| one.split_once(": ").unwrap().0).collect();
        assert_eq!(codes, ["2:3 E-YAML-KEY", "4:13 E-YAML-TAG", "4:28 E-YAML-TAG", "5:14 E-YAML", "6:6 E-MERGE-KEY"]);
        assert!(found[3].contains("nothing above is anchored with `&nothing`"), "{found:?}");
    }

    #[test]
    fn duplicate_keys_name_the_line_of_the_first() {
        only(
            "job_type: a\ntasks:\n- task_type: t\n  script: [x]\n  timeout: 1m\n  timeout: 2m\n",
            "6:3 E-DUPLICATE-KEY: the key \"timeout\" stands twice in this mapping (it is given first on line 5; remove one of them)",
        );
    }

    #[test]
    fn a_tag_may_say_what_a_value_is_anyway() {
        only(
            "job_type: a\nretry: !!int 3\nmax_concurrency: !!float 3\ntasks: [{task_type: t, script: [x]}]\n",
            "3:18 E-YAML-TAG: this is tagged `!!float`, and it is `!!int` (remove the tag and write the value itself)",
        );
    }

    #[test]
    fn a_file_that_is_no_mapping_is_no_definition() {
        for (source, found) in [("- a\n", "a list"), ("hello\n", "the text \"hello\""), ("5\n", "the number 5")] {
            only(
                source,
                &format!(
                    "1:1 E-TYPE: a job definition is a mapping, and this is {found} (begin with `job_type: name` and `tasks:`)"
                ),
            );
        }
    }
}

mod templates_in_yaml {
    use super::*;

    #[test]
    fn an_unquoted_template_is_shown_quoted() {
        let cases = [
            ("when: {{ X }}", "4:9", "\"{{ X }}\""),
            ("when: {{ X | default(\"a\") }}", "4:9", "'{{ X | default(\"a\") }}'"),
            ("when: {{ X }}-suffix", "4:9", "\"{{ X }}-suffix\""),
            ("tags: [{{ X }}]", "4:10", "\"{{ X }}\""),
            ("tags:\n- {{ X }}", "5:5", "\"{{ X }}\""),
            ("environment: {A: {{ X }}}", "4:20", "\"{{ X }}\""),
        ];
        for (line, at, quoted) in cases {
            let found = problems(&task(&format!("{line}\nscript: [x]")));
            assert_eq!(
                found,
                [format!(
                    "{at} E-UNQUOTED-TEMPLATE: a value that begins with `{{{{` is a YAML mapping, not a template (put it in quotes: {quoted})"
                )]
            );
        }
        let found = problems(&task("when: {% if X %}a{% endif %}\nscript: [x]"));
        assert!(found[0].contains("E-UNQUOTED-TEMPLATE: a value cannot begin with `{%`"), "{found:?}");
    }

    #[test]
    fn go_templates_name_the_jinja_form() {
        let found = problems(&task("script:\n- echo {{.Issue}}\n- |\n  {{if ge (Tries \"a\") 10}}\n  echo\n  {{end}}"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("5:10 E-TEMPLATE-GO") && found[0].contains("{{ Issue }}"), "{found:?}");
        assert!(found[1].starts_with("7:5 E-TEMPLATE-GO") && found[1].contains("{% if "), "{found:?}");
    }

    #[test]
    fn a_template_that_does_not_parse_is_shown_where_it_breaks() {
        let found = problems(&task("script: [x]\nwhen: \"{{ 1 + }}\""));
        assert!(found.len() == 1 && found[0].starts_with("5:") && found[0].contains("E-TEMPLATE-SYNTAX"), "{found:?}");
    }

    #[test]
    fn undeclared_names_are_errors_with_a_suggestion() {
        let source = "job_type: a\nparams: {Issue: {}}\njob_variables: {Branch: \"ai/{{ Isue }}\"}\nskip_if: \"{{ tasks.build.state }}\"\ntasks:\n- task_type: unit-test\n  script: [\"echo {{ Issue }} {{ params.Isue }} {{ Nonce }} {{ configs.Anything }}\"]\n  environment:\n    A: \"{{ job_variables.Brunch }}\"\n    B: \"{{ secrets.Token }}\"\n    C: \"{{ tasks.unit-test.state }}\"\n    D: \"{{ tasks['unit-test'].status }}\"\n    E: \"{{ JobResult }}\"\n    F: \"{% for x in [1] %}{{ x }}{% endfor %}\"\n    G: \"{{ Nothing | default('') }}\"\n";
        let found = problems(source);
        let expected = [
            "3:32 E-UNDECLARED: nothing declares `Isue` (did you mean `Issue`?)",
            "4:14 E-UNDECLARED: `tasks` is not known here: `skip_if` is evaluated before the job starts (use params and job variables)",
            "7:33 E-UNDECLARED: there is no param `Isue` (did you mean `Issue`?)",
            "9:12 E-UNDECLARED: there is no job variable `Brunch` (did you mean `Branch`?)",
            "11:12 E-UNDECLARED: there is no task `unit` (a name with a dash is written tasks['unit-test'])",
            "12:12 E-UNDECLARED: a task has no `status` (did you mean `state`?)",
            "13:12 E-UNDECLARED: `JobResult` is known in `always_run` tasks only: elsewhere the job has no result yet",
            "15:12 E-UNDECLARED: nothing declares `Nothing` (declare it under `params` (given at submit) or `job_variables` (given here); a config of the server is written `configs.NAME`)",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_reference_to_a_task_that_is_no_ancestor_is_a_warning() {
        let source = "job_type: a\ntasks:\n- {task_type: one, script: [x]}\n- {task_type: two, script: [x], dependencies: [one]}\n- {task_type: three, script: [\"echo {{ tasks.one.state }} {{ tasks.three.state }}\"], dependencies: [two]}\n- {task_type: side, script: [\"echo {{ tasks.two.state }}\"], dependencies: []}\n- {task_type: end, always_run: true, script: [\"echo {{ tasks.two.state }}\"]}\n";
        let loaded = load_bytes(source.as_bytes());
        assert!(loaded.definition.is_some());
        let warnings: Vec<_> = loaded.warnings().map(|one| (one.code, one.message.as_str())).collect();
        assert_eq!(
            warnings,
            [("W-NOT-ANCESTOR", "no path leads from two to side: it need not have run when this is read")]
        );
        assert_eq!(loaded.diagnostics[0].severity, Severity::Warning);
    }

    #[test]
    fn names_that_atta_defines_cannot_be_taken() {
        let found = problems(&job("params: {Nonce: {}, tasks: {}, secrets: {}}\njob_variables: {JobID: 1}"));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("E-RESERVED-NAME: a param cannot be named Nonce"), "{found:?}");
        assert!(found[3].contains("E-RESERVED-NAME: a job variable cannot be named JobID"), "{found:?}");
    }
}

mod keys {
    use super::*;

    #[test]
    fn unknown_keys_are_reported_with_what_was_probably_meant() {
        only(&job("timeuot: 5m"), "2:1 E-UNKNOWN-KEY: a job has no key `timeuot` (did you mean `timeout`?)");
        only(&job("env: {A: b}"), "2:1 E-UNKNOWN-KEY: a job has no key `env` (did you mean `environment`?)");
        only(&shell("needs: [x]"), "7:3 E-UNKNOWN-KEY: a task has no key `needs` (did you mean `dependencies`?)");
        only(&shell("frobnicate: 1"), "7:3 E-UNKNOWN-KEY: a task has no key `frobnicate`");
        only(
            &shell("artifacts: {paths: [a], retention: 5}"),
            "7:27 E-UNKNOWN-KEY: artifacts has no key `retention` (its keys are `paths`, `exclude`, `when`, `name` and `expire_after`)",
        );
        only(
            &job("defaults: {tiemout: 5m}"),
            "2:12 E-UNKNOWN-KEY: a task has no key `tiemout` (did you mean `timeout`?)",
        );
        only(
            &job("retry_on: [3]"),
            "2:1 E-UNKNOWN-KEY: a job has no key `retry_on` (it belongs to a task: it names results of the task's attempts)",
        );
    }

    #[test]
    fn budgets_that_limit_nothing_and_accounts_without_names_are_said() {
        for (keys, said) in [
            ("budget: {}", "`budget` limits nothing"),
            ("budget: {usd: 0}", "`usd` must be more than 0"),
            ("budget: {usd: 1, per_day: {}}", "`per_day` limits nothing"),
            ("budget: {per_day: {tokens: \"{{ T }}\"}}\nparams: {T: {}}", "a limit of `per_day` cannot be a template"),
            ("budget: {usd: 1}", "`budget` limits nothing here: no task is an AGENT task"),
            ("budget: {usd: 1, on_exceed: stop}", "`on_exceed`"),
        ] {
            let found = problems(&job(keys));
            assert!(found.iter().any(|problem| problem.contains(said)), "{keys}: {found:?}");
        }
        for (keys, said) in [
            ("account: a, accounts: [b]", "`account` and `accounts` exclude each other"),
            ("accounts: []", "`accounts` has between 1 and 50 entries"),
            ("accounts: [a, a]", "the account a is named twice"),
            ("accounts: [{environment: {}}, b]", "this account has no `name`"),
            ("account: \"a b\"", "\"a b\" cannot be the name of an account"),
            ("rotation: in_order", "`rotation` has no effect without several `accounts`"),
        ] {
            let text = format!("job_type: a\ntasks:\n- task_type: t\n  agent: {{cli: claude, prompt: x, {keys}}}\n");
            let found = problems(&text);
            assert!(found.iter().any(|problem| problem.contains(said)), "{keys}: {found:?}");
        }
    }

    #[test]
    fn keys_whose_machinery_comes_later_are_named_never_ignored() {
        for key in
            ["container", "node_selector", "resources", "sandbox", "service_account", "services", "start_timeout"]
        {
            let found = problems(&shell(&format!("{key}: {{}}")));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("7:3 E-UNSUPPORTED: the key `{key}` of a task")), "{found:?}");
        }
        let found = problems(&job("params: {T: {secret: true}}"));
        assert!(found[0].contains("E-SECRET-PARAM: the param T cannot be secret"), "{found:?}");
    }

    #[test]
    fn methods_other_than_shell_are_refused_by_name_and_their_options_too() {
        for method in ["DOCKER", "KUBERNETES"] {
            let found = problems(&task(&format!("method: {method}\nurl: x")));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(&format!("E-UNSUPPORTED: the method {method} is not supported")), "{found:?}");
        }
        only(
            &shell("url: http://x"),
            "7:3 E-OPTION: `url` is an option of the HTTP methods, and this is a task of the method SHELL (SHELL has script, before_script, after_script, shell, interpreter, tty)",
        );
        only(
            &task("method: HTTP_GET\nurl: http://x\ntty: true"),
            "6:3 E-OPTION: `tty` is an option of SHELL, and this is a task of the method HTTP_GET (HTTP_GET has url, headers, query, body, json, form, http)",
        );
        only(&task("script: [x]\nmethod: SHEL"), "5:11 E-VALUE: there is no method \"SHEL\" (did you mean SHELL?)");
    }

    #[test]
    fn what_is_missing_is_named() {
        only(
            "tasks: [{task_type: a, script: [x]}]\n",
            "1:1 E-MISSING-KEY: the definition has no `job_type` (give the job a name: `job_type: nightly-build`)",
        );
        let found = problems("job_type: a\n");
        assert!(found[0].contains("E-MISSING-KEY: the definition has no `tasks`"), "{found:?}");
        only("job_type: a\ntasks: []\n", "2:8 E-VALUE: `tasks` is empty; a job needs at least one task");
        only(
            "job_type: a\ntasks:\n",
            "2:6 E-TYPE: `tasks` has no value; it must be a list (give it a value or remove the key)",
        );
        let found = problems("job_type: a\ntasks:\n- script: [x]\n- {task_type: b}\n");
        assert!(found[0].starts_with("3:3 E-MISSING-KEY: this task has no `task_type`"), "{found:?}");
        assert!(found[1].starts_with("4:4 E-MISSING-KEY: this task has no `script`"), "{found:?}");
        only(
            &task("script: []"),
            "4:11 E-VALUE: `script` is empty (a task that only routes can say `script: [\"true\"]`)",
        );
    }

    #[test]
    fn keys_that_exclude_each_other_are_a_conflict() {
        for (lines, says) in [
            ("when: a\nexcept: b", "`when` and `except` exclude each other"),
            ("shell: bash\ninterpreter: python3", "`shell` and `interpreter` exclude each other"),
            (
                "delay_between_retries: 1s\nretry_backoff: {factor: 2}",
                "`delay_between_retries` and `retry_backoff` exclude each other",
            ),
        ] {
            let found = problems(&shell(lines));
            assert!(found.len() == 1 && found[0].starts_with("8:3 E-CONFLICT") && found[0].contains(says), "{found:?}");
        }
        let found = problems(&job("delay_between_retries: 1s\nretry_backoff: {factor: 2}"));
        assert!(found[0].contains("E-CONFLICT"), "{found:?}");
    }

    #[test]
    fn a_tasks_own_choice_puts_the_other_one_of_defaults_out_of_force() {
        let task = &definition(
            &job("defaults: {when: a, shell: sh, retry_backoff: {factor: 3}}")
                .replace("script: [make]", "script: [make], except: b, interpreter: perl, delay_between_retries: 3s"),
        )
        .tasks[0];
        assert!(task.when.as_ref().is_some_and(|when| when.negated && when.template.source == "b"));
    }
}

mod values {
    use super::*;

    #[test]
    fn types_are_checked_and_the_message_says_what_to_write() {
        for (lines, expected) in [
            ("script: make", "4:11 E-TYPE: `script` must be a list, and this is the text \"make\" (write [make])"),
            (
                "script: [x]\nalways_run: yes",
                "5:15 E-TYPE: `always_run` must be true or false, and this is the text \"yes\" (write true, without quotes)",
            ),
            (
                "script: [x]\nallow_failure: \"false\"",
                "5:18 E-TYPE: `allow_failure` must be true or false, and this is the text \"false\" (write false, without quotes)",
            ),
            (
                "script: [x]\nretry: \"3\"",
                "5:10 E-TYPE: `retry` must be a whole number, and this is the text \"3\" (remove the quotes)",
            ),
            ("script: [x]\nretry: 1.5", "5:10 E-TYPE: `retry` must be a whole number, and this is the number 1.5"),
            (
                "script: [x]\nmax_visits: \"{{ N }}\"",
                "5:15 E-TYPE: `max_visits` must be a whole number, and this is the text \"{{ N }}\" (a template cannot stand here)",
            ),
            (
                "script:\n- echo: hi",
                "5:5 E-TYPE: an entry of script must be text, and this is a mapping (text that contains `: ` must be quoted)",
            ),
            (
                "script: [5]",
                "4:12 E-TYPE: an entry of script must be text, and this is the number 5 (put it in quotes: \"5\")",
            ),
            ("script: [x]\nenvironment: [A]", "5:16 E-TYPE: `environment` must be a mapping, and this is a list"),
            (
                "script: [x]\ndependencies: other",
                "5:17 E-TYPE: `dependencies` must be a list, and this is the text \"other\" (write [other])",
            ),
            (
                "script: [x]\npriority: urgent",
                "5:13 E-VALUE: `priority` must be CRITICAL, HIGH, NORMAL or LOW, and this is the text \"urgent\" (see the language reference for what they mean)",
            ),
            (
                "script: [x]\nartifacts: [a]",
                "5:14 E-TYPE: `artifacts` must be a mapping, and this is a list (write {paths: […]})",
            ),
        ] {
            only(&task(lines), expected);
        }
    }

    #[test]
    fn numbers_have_ranges() {
        only(&shell("retry: -1"), "7:10 E-RANGE: `retry` must be between 0 and 1000, and -1 is not");
        only(&shell("max_visits: 0"), "7:15 E-RANGE: `max_visits` must be between 1 and 100000, and 0 is not");
        only(&job("max_concurrency: 0"), "2:18 E-RANGE: `max_concurrency` must be at least 1, and 0 is not");
        only(
            &shell("retry_backoff: {factor: 0.5}"),
            "7:27 E-RANGE: `factor` must be between 1 and 100, and 0.5 is not",
        );
        only(&shell("retry_backoff: {initial: 5m, max: 1m}"), "7:37 E-RANGE: `max` must not be shorter than `initial`");
    }

    #[test]
    fn durations_that_are_none_are_explained() {
        only(
            &shell("timeout: -1"),
            "7:12 E-DURATION: `timeout`: a duration cannot be negative, and \"-1\" is (leave the key out for its default; `-1` does not mean \"no limit\" here)",
        );
        only(
            &shell("timeout: 90"),
            "7:12 E-DURATION: `timeout`: the duration \"90\" has no unit (write 90s for seconds, 90m for minutes or 90ms for milliseconds)",
        );
        only(
            &job("timeout: 0s"),
            "2:10 E-DURATION: `timeout` must be longer than 0 (leave the key out for its default)",
        );
        only(
            &shell("idle_timeout: soon"),
            "7:17 E-DURATION: `idle_timeout`: \"soon\" is not a duration (write a number with a unit, such as 250ms, 90s, 15m, 2h30m or 7d)",
        );
    }

    #[test]
    fn names_have_rules_and_an_example_that_follows_them() {
        only(
            "job_type: My Job\ntasks: [{task_type: a, script: [x]}]\n",
            "1:11 E-NAME: \"My Job\" cannot be a job_type: it takes lower-case letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first (for example `my-job`)",
        );
        let found = problems("job_type: a\ntasks: [{task_type: \"a b\", script: [x]}]\n");
        assert!(found[0].contains("E-NAME: \"a b\" cannot be a task_type") && found[0].contains("`a-b`"), "{found:?}");
        for word in ["FATAL", "COMPLETED", "TIMED_OUT", "ERR_X", "END_FAILED", "EXECUTING"] {
            let found = problems(&format!("job_type: a\ntasks: [{{task_type: {word}, script: [x]}}]\n"));
            assert!(found[0].contains(&format!("E-RESERVED-NAME: a task cannot be named {word}")), "{found:?}");
        }
        let found = problems(&shell("environment: {ATTA_JOB_ID: x, \"A B\": y}\noutputs: [a-b]"));
        assert!(found[0].contains("E-RESERVED-NAME: the environment variable ATTA_JOB_ID is set by Atta"), "{found:?}");
        assert!(found[1].contains("E-NAME: \"A B\" cannot be the name of an environment variable"), "{found:?}");
        assert!(found[2].contains("E-NAME: \"a-b\" cannot be the name of an output"), "{found:?}");
    }

    #[test]
    fn two_tasks_with_one_name_are_refused() {
        only(
            "job_type: a\ntasks:\n- {task_type: b, script: [x]}\n- {task_type: b, script: [x]}\n",
            "4:15 E-DUPLICATE-TASK: there are two tasks named b (every task needs a name of its own)",
        );
    }

    #[test]
    fn versions_are_semantic() {
        let found = problems(&job("version: 1.2"));
        assert!(found[0].starts_with("2:10 E-VERSION: \"1.2\" is not a semantic version"), "{found:?}");
    }

    #[test]
    fn paths_stay_in_the_directory_of_the_task() {
        for (path, reason) in [
            ("../x", "leads out of the task's directory"),
            ("a/../../b", "leads out of the task's directory"),
            ("/etc/passwd", "is absolute"),
            ("~/x", "is absolute"),
            ("\"\"", "is empty"),
        ] {
            let found = problems(&shell(&format!("artifacts: {{paths: [{path}]}}")));
            assert!(found.len() == 1 && found[0].contains("E-PATH") && found[0].contains(reason), "{found:?}");
        }
        let found = problems(&shell("outputs: {v: {from: file, file: ../v.json}}"));
        assert!(found[0].contains("E-PATH: the path \"../v.json\" in `file`"), "{found:?}");
    }

    #[test]
    fn outputs_say_where_they_come_from() {
        let found =
            problems(&shell("outputs: {v: {from: file}, w: {from: stdout, file: x}, y: {json_path: \"a[0]\"}}"));
        assert!(found[0].contains("E-MISSING-KEY: the output v comes from a file, and `file` is missing"), "{found:?}");
        assert!(found[1].contains("E-CONFLICT: `file` goes with `from: file`"), "{found:?}");
        assert!(found[2].contains("E-VALUE: \"a[0]\" is not a path into a JSON document"), "{found:?}");
        only(&shell("outputs: [a, a]"), "7:16 E-CONFLICT: the output a is declared twice");
    }

    #[test]
    fn only_posix_shells_are_a_shell() {
        only(
            &shell("shell: [fish, -c]"),
            "7:10 E-VALUE: `shell` must be bash, sh, dash, ash or ksh, and this is \"fish\" (any other program can be an `interpreter`)",
        );
    }

    #[test]
    fn params_are_not_written_into_programs() {
        let source = "job_type: a\nparams: {X: {}, Y: {enum: [a, b]}}\ntasks:\n- task_type: t\n  interpreter: python3\n  script: [\"@\"]\n";
        for (text, column) in [("print('{{ X }}')", 23), ("print('{{ Y }}{{ params.X }}')", 30)] {
            only(
                &source.replace('@', text),
                &format!(
                    "6:{column} E-SHELL-OUTSIDE: a value from outside cannot be written into this program's source: it could become code (pass it by `environment:` and read it there, e.g. os.environ[\"TITLE\"])"
                ),
            );
        }
        for text in ["print('{{ Y }}')", "print('{{ JobID }}')", "{% if X %}print('x'){% endif %}"] {
            assert_eq!(problems(&source.replace('@', text)), Vec::<String>::new(), "{text}");
        }
    }
}

mod routes {
    use super::*;

    fn one(lines: &str, expected: &str) {
        let mut found = problems(&shell(&format!("on_exit_code:\n  {lines}")));
        found.retain(|one| one.contains(" E-"));
        assert!(found.len() == 1 && found[0].contains(expected), "{lines}: {found:?}");
    }

    #[test]
    fn results_that_no_task_can_have_are_refused() {
        one("300: other", "E-RANGE: an exit code is between 0 and 255, and 300 is not");
        one("-1: other", "E-ROUTE-RESULT: \"-1\" is neither an exit code nor a range");
        one("\"78-64\": other", "E-ROUTE-RESULT: the range \"78-64\" is empty: 78 is more than 64 (write \"64-78\")");
        one(
            "TIMEDOUT: other",
            "E-ROUTE-RESULT: \"TIMEDOUT\" is not a result that a task can have (did you mean TIMED_OUT?)",
        );
        one("007: other", "E-ROUTE-RESULT: \"007\" is neither");
    }

    #[test]
    fn overlapping_routes_are_refused() {
        one("{1-5: other, 3-7: FATAL}", "E-ROUTE-OVERLAP: the ranges 1-5 and 3-7 overlap");
        one("{5: other, 5-5: FATAL}", "E-ROUTE-OVERLAP: the same result is listed twice");
        let found =
            problems(&shell("on_completed: other\non_failed: FATAL\non_exit_code: {COMPLETED: other, FAILED: other}"));
        assert!(found[0].contains("E-ROUTE-OVERLAP: `on_completed` stands beside COMPLETED"), "{found:?}");
        assert!(found[1].contains("E-ROUTE-OVERLAP: `on_failed` stands beside FAILED"), "{found:?}");
    }

    #[test]
    fn targets_that_are_none_are_refused() {
        one("3: [other, FATAL]", "E-ROUTE-TARGET: the word FATAL cannot stand in a list of tasks");
        one("3: []", "E-ROUTE-TARGET: `on_exit_code.3` leads to an empty list");
        one("3: [other, other]", "E-ROUTE-TARGET: the task other stands twice in this list");
        one("3: TIMED_OUT", "E-ROUTE-TARGET: TIMED_OUT is a result, not a place to go to");
        one(
            "3: RESTART_TSK",
            "E-ROUTE-TARGET: RESTART_TSK is neither a task nor one of the words of a route (did you mean RESTART_TASK?)",
        );
        one("3: ERR_no", "E-ROUTE-TARGET: \"ERR_no\" is not an error code");
        one("3: \"{{ X }}\"", "E-ROUTE-TARGET: the target of a route cannot be a template");
        one("3: {max: 2}", "E-MISSING-KEY: `on_exit_code.3` says neither `goto` nor `reschedule`");
        one("3: {goto: other, reschedule: 2m}", "E-CONFLICT: a route has either `goto` or `reschedule`, not both");
        one("3: {goto: other, until: 2m}", "E-CONFLICT: `until` belongs to `reschedule`");
        one("3: {reschedule: 2m, max: 2}", "E-CONFLICT: `max` belongs to `goto`");
        one("3: {goto: other, max: 0}", "E-RANGE: `max` must be between 1 and 100000, and 0 is not");
        one("3: {goto: other, maxx: 3}", "E-UNKNOWN-KEY: a route has no key `maxx` (did you mean `max`?)");
        one(
            "{COMPLETED: FAILED, FAILED: COMPLETED}",
            "E-ROUTE-TARGET: COMPLETED leads to FAILED and FAILED leads to COMPLETED",
        );
        one("FAILED: FAILED", "E-ROUTE-TARGET: this route leads to itself");
        one("3:", "E-TYPE: `on_exit_code.3` has no value; it must be a task, a list of tasks or a word such as FATAL");
    }

    #[test]
    fn words_that_would_undo_the_end_are_refused_in_always_run_tasks() {
        for word in ["FATAL", "RESTART_JOB", "PAUSE_JOB", "RESCHEDULE", "END_COMPLETED", "END_FAILED", "END_BLOCKED"] {
            let found = problems(&shell(&format!("always_run: true\non_failed: {word}")));
            assert!(
                found.iter().any(|one| one.contains(&format!("E-ALWAYS-RUN: an `always_run` task cannot use {word}"))),
                "{found:?}"
            );
        }
    }

    #[test]
    fn an_always_run_task_has_no_condition() {
        for condition in ["when: 'false'", "except: 'true'"] {
            let found = problems(&shell(&format!("always_run: true\n{condition}")));
            let message = "E-ALWAYS-RUN: an `always_run` task cannot have a condition: it runs whatever happened";
            assert!(found.iter().any(|one| one.contains(message)), "{found:?}");
        }
    }

    #[test]
    fn dependencies_name_tasks() {
        let dependency = |text: &str| {
            problems(&shell("").replace("  dependencies: []\n  script", &format!("  dependencies: [{text}]\n  script")))
        };
        assert!(dependency("FATAL")[0].contains("E-ROUTE-TARGET: a dependency must name a task"));
        assert!(dependency("other, other")[0].contains("E-CONFLICT: the dependency on other is listed twice"));
        assert!(dependency("{optional: true}")[0].contains("E-MISSING-KEY: a dependency needs `task`"));
        assert!(dependency("{task: other, optonal: true}")[0].contains("did you mean `optional`?"));
    }
}

mod schedules_and_params {
    use super::*;

    #[test]
    fn cron_lines_that_are_none_say_which_field_is_wrong() {
        let help = "write `minute hour day-of-month month day-of-week`, e.g. \"30 2 * * MON-FRI\"; six fields begin with seconds, seven end with the year";
        only(
            &job("cron_trigger: 61 * * * *"),
            &format!(
                "2:15 E-CRON: the cron line \"61 * * * *\": the minute must be between 0 and 59, and 61 is not ({help})"
            ),
        );
        for (line, says) in [
            ("* * * *", "has 4 fields; it takes 5, 6 or 7"),
            ("0 24 * * *", "the hour must be between 0 and 23, and 24 is not"),
            ("0 0 0 1 1", "the day of month must be between 1 and 31"),
            ("0 0 1 13 *", "the month must be between 1 and 12"),
            ("0 0 * * 8", "the day of week must be between 0 and 7"),
            ("61 0 0 * * *", "the second must be between 0 and 59"),
            ("*/0 * * * *", "the step of the minute cannot be 0"),
            ("1-2-3 * * * *", "is not valid"),
            ("a b c d e", "the minute cannot be \"a\""),
            ("MON * * * *", "the minute cannot be \"MON\""),
            ("0 0 * TUE *", "the month cannot be \"TUE\""),
            ("0 L * * *", "the hour cannot be \"L\""),
            ("0 0 1,,2 * *", "the list of the day of month has an empty place"),
            (", * * * *", "the list of the minute has an empty place"),
        ] {
            let found = problems(&job(&format!("cron_trigger: [\"{line}\"]")));
            assert!(found.len() == 1 && found[0].contains("E-CRON: ") && found[0].contains(says), "{line}: {found:?}");
        }
        only(
            &job("cron_trigger: 0 0 31 2 *"),
            "2:15 E-CRON-NEVER: the cron line \"0 0 31 2 *\" never comes true (there is no such date; check the day, the month and the year)",
        );
    }

    #[test]
    fn names_and_letters_stand_where_they_mean_something() {
        for line in ["0 0 L * *", "0 0 lw * *", "0 0 15W * *", "0 0 * jan,DEC MON-fri", "0 0 * * FRIL", "0 0 * * 5#2"] {
            assert_eq!(problems(&job(&format!("cron_trigger: \"{line}\""))), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn time_zones_are_those_of_the_database() {
        only(
            &job("cron_trigger: 0 0 * * *\ntimezone: Berlin"),
            "3:11 E-TIMEZONE: there is no time zone \"Berlin\" (did you mean Europe/Berlin?)",
        );
        let loaded = load_bytes(job("timezone: Europe/Berlin").as_bytes());
        assert_eq!(loaded.diagnostics[0].message, "`timezone` has no effect without `cron_trigger`");
        assert!(loaded.definition.is_some());
    }

    #[test]
    fn params_must_accept_their_own_defaults() {
        let found = problems(&job(
            "params:\n  A: {type: integer, default: many}\n  B: {type: string, default: 5}\n  C: {enum: [x, y], default: z}\n  D: {pattern: '^\\d+$', default: abc}\n  E: {pattern: '('}\n  F: {type: int}\n  G: {type: integer, pattern: x}\n  H: {required: true, default: x}\n  \"I-J\": {}\nrequired_params: [A]",
        ));
        let expected = [
            "3:31 E-PARAM-DEFAULT: the default of the param A is refused by the param itself: A must be of type integer, and this is the string \"many\"",
            "4:30 E-PARAM-DEFAULT: the default of the param B is refused by the param itself: B must be of type string, and this is the number 5 (numbers",
            "5:30 E-PARAM-DEFAULT: the default of the param C is refused by the param itself: C must be x or y, and this is the string \"z\"",
            "6:34 E-PARAM-DEFAULT: the default of the param D is refused by the param itself: D must match the pattern ^\\d+$, and \"abc\" does not",
            "7:16 E-PATTERN: `pattern` is not a regular expression",
            "8:13 E-VALUE: `type` must be string, integer, number, boolean, object or array, and this is the text \"int\"",
            "9:22 E-CONFLICT: `pattern` is for strings, and G is of type integer",
            "10:23 E-CONFLICT: the param H is required and has a default",
            "11:3 E-NAME: \"I-J\" cannot be the name of a param",
            "12:19 E-CONFLICT: the param A is required and has a default",
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }
}
