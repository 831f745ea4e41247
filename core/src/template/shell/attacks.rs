//! Ways in which values could still be executed, and ordinary scripts that must not be refused.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ShellDialect, check_script};
use crate::template::{Renderer, TemplateProblem, Value};

fn render(source: &str) -> Result<String, TemplateProblem> {
    let names: BTreeMap<String, Value> = [
        ("x".to_owned(), Value::outside(&json!("a[$(touch pwned)]"))),
        ("n".to_owned(), Value::outside(&json!(42))),
        ("own".to_owned(), Value::trusted(&json!("own"))),
    ]
    .into_iter()
    .collect();
    Renderer::default().render_script(&[source], ShellDialect::Bash, &names).map(|script| script.text)
}

/// Each of these ran a value, in the shells where it means something.
#[test]
fn values_from_outside_are_refused_where_they_would_run() {
    let mut accepted = Vec::new();
    for source in [
        // Programs that read their program from the standard input.
        "bash <<EOF\necho {{ x }}\nEOF",
        "sudo sh -s <<EOF\n{{ x }}\nEOF",
        "<<EOF sh\n{{ x }}\nEOF",
        "cat <<EOF | sh -e\n{{ x }}\nEOF",
        "cat <<A; bash <<B\n{{ own }}\nA\n{{ x }}\nB",
        "python3 - <<EOF\nprint('{{ x }}')\nEOF",
        "psql db <<EOF\nselect '{{ x }}'\nEOF",
        "ssh host <<EOF\n{{ x }}\nEOF",
        "docker exec -i c bash <<EOF\n{{ x }}\nEOF",
        "if true; then bash -x <<EOF\n{{ x }}\nEOF\nfi",
        "x=$(bash <<EOF\n{{ x }}\nEOF\n)",
        "bash <<< {{ x }}",
        "cat <<EOF |\n{{ x }}\nEOF\nsh",
        "echo {{ x }} |\n  sh",
        "sh <<< \"echo {{ x }}\"",
        "echo {{ x }} | sh",
        "echo {{ x }} |& bash -e",
        "printf '%s' \"{{ x }}\" | sudo -u me bash -s",
        "echo {{ x }} | tee log | sh",
        "echo \"$(echo {{ x }})\" | sh",
        "(echo {{ x }}) | bash",
        "{ echo {{ x }}; echo b; } | bash",
        "for i in 1 2; do echo {{ x }}; done | sh",
        "echo {{ x }} | python3",
        "echo {{ x }} | ssh host",
        "echo {{ x }} | crontab -",
        "sh <(echo {{ x }})",
        // Variables that shells and programs evaluate.
        "PS4={{ x }}; set -x; true",
        "PATH={{ x }}:$PATH",
        "export PATH={{ x }}",
        "BASH_ENV={{ x }} bash run.sh",
        "env BASH_ENV={{ x }} bash run.sh",
        "GIT_SSH_COMMAND={{ x }} git fetch",
        "export EDITOR={{ x }}",
        "RANDOM={{ x }}",
        "OPTIND={{ x }}",
        "declare -i n; n={{ x }}",
        "f() { local -i n\nn={{ x }}; }",
        "declare -n r; r={{ x }}; echo $r",
        "declare -a a={{ x }}",
        "local -A a=\"{{ x }}\"",
        // Subscripts and offsets.
        "a[$(echo {{ x }})]=1",
        "echo ${y:$(echo {{ x }})}",
        "echo ${a[$(echo {{ x }})]}",
        // Commands that appear when something else is gone.
        "time -p {{ x }}",
        "$MAYBE {{ x }}",
        "$(true) {{ x }}",
        "env -S\"{{ x }}\"",
        "env --split-string={{ x }}",
        "sh {{ x }}",
        "bash -e \"{{ x }}\"",
        // Programs with options that run something.
        "find . -exec {{ x }} \\;",
        "git -c {{ x }} status",
        "git -c core.fsmonitor={{ x }} status",
        "git config core.pager {{ x }}",
        "git fetch --upload-pack {{ x }} o",
        "git fetch --upload-pack={{ x }} o",
        "git rebase --exec \"make {{ x }}\" main",
        "git rebase -x {{ x }} main",
        "git bisect run {{ x }}",
        "git submodule foreach \"echo {{ x }}\"",
        "tar xf a.tar --to-command={{ x }}",
        "tar cf a.tar --checkpoint-action {{ x }} b",
        "tar -I {{ x }} -xf a",
        "rsync -e {{ x }} a b:",
        "sed -i '' \"s/a/{{ x }}/\" file",
        "hash -p {{ x }} ls",
        "enable -f {{ x }} y",
        "tmux send-keys {{ x }}",
        "runuser -c \"{{ x }}\" me",
        "pwsh -Command \"{{ x }}\"",
    ] {
        if let Ok(text) = render(source) {
            accepted.push(format!("{source:?} → {text:?}"));
        }
    }
    assert!(accepted.is_empty(), "accepted:\n{}", accepted.join("\n"));
}

#[test]
fn ordinary_scripts_are_not_refused() {
    let mut refused = Vec::new();
    for source in [
        "git commit -m {{ x }}",
        "git commit -m \"{{ x }}\" --author=\"{{ x }} <a@b>\"",
        "git checkout -b feature/{{ x }}",
        "git clone --depth 1 -- {{ x }} repo",
        "git push origin \"HEAD:refs/heads/{{ x }}\"",
        "git -C {{ x }} log -1 --format=%H",
        "git -c user.name=Ant commit -m {{ x }}",
        "git log --grep={{ x }}",
        "git config user.name {{ x }}",
        "git config --global user.email \"{{ x }}\"",
        "curl -fsSL -o out \"https://example.com/{{ x }}\"",
        "curl -H \"X: {{ x }}\" --data '{\"a\": \"{{ x }}\"}' https://example.com",
        "jq --arg t {{ x }} '.title = $t' a.json > b.json",
        "jq -n --arg t \"{{ x }}\" '{title: $t}' | curl -d @- https://example.com",
        "for f in *.txt; do echo {{ x }} >> \"$f\"; done",
        "while read -r line; do echo \"$line {{ x }}\"; done < in.txt",
        "case {{ x }} in a) echo a;; *) echo {{ x }};; esac",
        "f() {\n  local t={{ x }}\n  echo \"$t\"\n}\nf",
        "cat > note.md <<EOF\n# {{ x }}\nEOF",
        "cat <<EOF | tee note.md\n{{ x }}\nEOF",
        "kubectl apply -f - <<EOF\na: {{ x }}\nEOF",
        "[ \"{{ x }}\" = y ]",
        "[ \"{{ x }}\" = y ] && echo yes || echo no",
        "if [ -z \"{{ x }}\" ]; then exit 1; fi",
        "if [[ \"{{ x }}\" == y* ]]; then echo; fi",
        "if ! test -f {{ x }}; then echo {{ x }} >&2; exit 1; fi",
        "(cd {{ x }} && [[ -f a ]]) && echo {{ x }}",
        "y=$([[ -f a ]]); echo \"{{ x }}\"",
        "echo \"$([[ -f a ]]) {{ x }}\"",
        "mkdir -p \"out/{{ x }}\" && cd \"out/{{ x }}\"",
        "export TITLE={{ x }}",
        "TITLE={{ x }} ./run.sh",
        "env TITLE={{ x }} ./run.sh",
        "grep -rn -- {{ x }} . | head -5",
        "echo {{ x }} | tr a-z A-Z | sort -u",
        "echo \"{{ x }}\" | sed 's/a/b/' > out",
        "printf '%s\\n' {{ x }} | wc -l",
        "python3 deploy.py -e {{ x }} -p {{ x }} --name={{ x }}",
        "python3 -m tool -c {{ x }}",
        "node build.js -e {{ x }}",
        "bash run.sh {{ x }}",
        "echo a | bash run.sh {{ x }}",
        "echo {{ x }} | bash run.sh",
        "echo {{ x }} | python3 run.py",
        "timeout 5m make test > {{ x }}",
        "npm run build -- --title={{ x }}",
        "docker run --rm -e TITLE={{ x }} image",
        "docker build -t \"img:{{ x }}\" .",
        "tar czf {{ x }}.tgz out",
        "gh pr create --title {{ x }} --body \"{{ x }}\"",
        "sleep {{ n }}; exit {{ n }}",
        "find . -name {{ x }} -delete",
        "find . -type f -exec grep -l {{ x }} {} \\;",
        "cp \"{{ x }}\" \"$DIR\"/",
        "\"$TOOL\" {{ x }}",
        "$SUDO cp {{ x }} b",
        "set -euo pipefail\necho {{ x }}",
        "command -v {{ x }}",
        "a[0]={{ x }}",
        "diff <(echo {{ x }}) b",
        "trap 'rm -f tmp' EXIT\necho {{ x }}",
        "cat a | sh run.sh && echo {{ x }}",
        "echo ok | sh; echo {{ x }}",
        "bash <<EOF\necho {{ n }}\nEOF",
        "bash -s -- {{ x }} <<'EOF'\necho \"$1\"\nEOF",
    ] {
        if let Err(problem) = render(source) {
            refused.push(format!("{source:?}: {problem}"));
        }
        if let Err(problem) = check_script(&[source], ShellDialect::Bash) {
            refused.push(format!("at upload {source:?}: {problem}"));
        }
    }
    assert!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
}

#[test]
fn own_values_that_a_shell_reads_as_its_program_are_a_warning() {
    for source in ["bash <<EOF\necho {{ own }}\nEOF", "echo {{ own }} | sh", "sh <<< {{ own }}", "PS4={{ own }}"] {
        assert!(render(source.trim()).is_ok(), "{source}");
        let warnings = check_script(&[source], ShellDialect::Bash).unwrap();
        assert_eq!(warnings.first().map(|warning| warning.code), Some("W-SECOND-EVAL"), "{source}");
    }
}
