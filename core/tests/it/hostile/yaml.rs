//! Files that harm readers of YAML.

use super::{Case, Class, case, with_job, with_task};

const GOOD: &str = "job_type: hostile\ntasks:\n  - task_type: one\n    script: [echo]\n";

pub(super) fn cases() -> Vec<Case> {
    use Class::{Accepted, Code};
    let mut all = vec![
        case("nothing", "", Code("E-EMPTY")),
        case("blanks", "  \n\n \n", Code("E-EMPTY")),
        case("only comments", "# a\n#b\n", Code("E-EMPTY")),
        case("null", "null\n", Code("E-EMPTY")),
        case("tilde", "~", Code("E-EMPTY")),
        case("a number", "42", Code("E-TYPE")),
        case("a text", "hello", Code("E-TYPE")),
        case("a list", "- a\n- b\n", Code("E-TYPE")),
        case("an empty mapping", "{}", Code("E-MISSING-KEY")),
        case("nul", "job_type: a\0b\n", Code("E-BINARY")),
        case("nul first", "\0", Code("E-BINARY")),
        case("bell", "job_type: \u{7}\n", Code("E-BINARY")),
        case("utf-16 little endian", b"\xff\xfej\0o\0b\0".to_vec(), Code("E-BINARY")),
        case("utf-16 big endian", b"\xfe\xff\0j\0o\0b".to_vec(), Code("E-BINARY")),
        case("invalid utf-8", b"job_type: \xc3\x28\n".to_vec(), Code("E-ENCODING")),
        case("overlong utf-8", b"job_type: \xc0\xaf\n".to_vec(), Code("E-ENCODING")),
        case("surrogate in utf-8", b"job_type: \xed\xa0\x80\n".to_vec(), Code("E-ENCODING")),
        case("cut in a character", b"job_type: \xf0\x9f\x92".to_vec(), Code("E-ENCODING")),
        case("byte order mark", format!("\u{feff}{GOOD}"), Accepted),
        case("byte order mark inside", GOOD.replace("tasks", "\u{feff}tasks"), Code("E-YAML")),
        case("two byte order marks", format!("\u{feff}\u{feff}{GOOD}"), Accepted),
        case("carriage returns", GOOD.replace('\n', "\r\n"), Accepted),
        case("old carriage returns", GOOD.replace('\n', "\r"), Accepted),
        case("mixed line ends", GOOD.replacen('\n', "\r\n", 1), Accepted),
        case("tab as indentation", "job_type: x\ntasks:\n\t- task_type: a\n", Code("E-TAB")),
        case("tab in a nested block", "job_type: x\ntasks:\n  - task_type: a\n\tscript: [b]\n", Code("E-TAB")),
        case("two documents", format!("{GOOD}---\n{GOOD}"), Code("E-MULTIPLE-DOCUMENTS")),
        case("a document marker", format!("---\n{GOOD}...\n"), Accepted),
        case("a directive", format!("%YAML 1.2\n---\n{GOOD}"), Accepted),
        case("an unknown directive", format!("%EVIL x\n---\n{GOOD}"), Accepted),
        case("an old version", format!("%YAML 1.1\n---\n{GOOD}"), Accepted),
        case("a future version", format!("%YAML 9.9\n---\n{GOOD}"), Code("E-YAML")),
        case("an open bracket", "job_type: [", Code("E-YAML")),
        case("an open brace", "job_type: {", Code("E-YAML")),
        case("an open quote", "job_type: \"x", Code("E-YAML")),
        case("an unknown escape", "job_type: \"\\q\"\n", Code("E-YAML")),
        case("a colon too many", "job_type: a: b\n", Code("E-YAML")),
        case("a percent sign", "job_type: %x\n", Code("E-YAML")),
        case("an at sign", "job_type: @x\n", Code("E-YAML")),
        case("a backquote", "job_type: `x`\n", Code("E-YAML")),
        case("a complex key", "? [a, b]\n: c\njob_type: x\n", Code("E-YAML-KEY")),
        case("a mapping as key", "{a: b}: c\n", Code("E-YAML-KEY")),
        case("an explicit key", "? job_type\n: hostile\ntasks: [{task_type: a, script: [b]}]\n", Accepted),
        case("an empty key", format!("\"\": x\n{GOOD}"), Code("E-UNKNOWN-KEY")),
        case("a null key", format!("~: x\n{GOOD}"), Code("E-UNKNOWN-KEY")),
        case("duplicate keys", format!("{GOOD}job_type: other\n"), Code("E-DUPLICATE-KEY")),
        case("duplicate keys in quotes", format!("{GOOD}\"job_type\": other\n"), Code("E-DUPLICATE-KEY")),
        case("duplicate keys with an escape", format!("{GOOD}\"job\\u005ftype\": other\n"), Code("E-DUPLICATE-KEY")),
        case("duplicate keys by an alias", "&k job_type: x\n*k : y\n", Code("E-DUPLICATE-KEY")),
        case("a binary tag", with_job("description: !!binary aGk="), Code("E-YAML-TAG")),
        case("a python tag", with_job("description: !!python/object/apply:os.system [id]"), Code("E-YAML-TAG")),
        case("a ruby tag", with_job("description: !ruby/object:Gem::Installer x"), Code("E-YAML-TAG")),
        case("a local tag", with_job("description: !include /etc/passwd"), Code("E-YAML-TAG")),
        case("a number tag on a text in quotes", with_job("max_concurrency: !!int \"3\""), Code("E-YAML-TAG")),
        case("a number tag on a number", with_job("max_concurrency: !!int 3"), Accepted),
        case("a list tag on a mapping", with_job("labels: !!seq {a: b}"), Code("E-YAML-TAG")),
        case("a mapping tag on a list", with_job("job_variables: {x: !!map [a]}"), Code("E-YAML-TAG")),
        case("a boolean tag on a number", with_job("job_variables: {x: !!bool 1}"), Code("E-YAML-TAG")),
        case("a text tag on a mapping", with_job("job_variables: {x: !!str {a: b}}"), Code("E-YAML-TAG")),
        case("a tag that means text", with_job("max_concurrency: ! 3"), Code("E-TYPE")),
        case("a text tag", with_job("description: !!str 5"), Accepted),
        case("an integer tag on a text", with_job("max_concurrency: !!int abc"), Code("E-YAML-TAG")),
        case("an unknown alias", with_job("description: *nothing"), Code("E-YAML")),
        case("an alias of itself", with_job("labels: &a {b: *a}"), Code("E-ALIAS-EXPANSION")),
        case("an alias of itself in a list", with_job("job_variables: {x: &a [1, *a]}"), Code("E-ALIAS-EXPANSION")),
        case("an anchor twice", with_job("labels: {a: &x 1, b: &x 2, c: *x}"), Accepted),
        case(
            "merge keys",
            "job_type: x\ndefaults: &d {timeout: 1m}\ntasks:\n  - {<<: *d, task_type: a, script: [b]}\n",
            Accepted,
        ),
        case(
            "merge keys of several",
            "job_type: x\nlabels: &a {x: 1}\ntasks:\n  - {<<: [{timeout: 1m}, {retry: 1}], task_type: a, script: [b]}\n",
            Accepted,
        ),
        case("merge of a text", with_job("labels: {<<: text}"), Code("E-MERGE-KEY")),
        case("merge of a list of texts", with_job("labels: {<<: [a, b]}"), Code("E-MERGE-KEY")),
        case("merge of itself", with_job("labels: &a {<<: *a}"), Code("E-ALIAS-EXPANSION")),
        case("merge twice", with_job("labels: {<<: {a: 1}, <<: {b: 2}}"), Accepted),
        case("a quoted merge key", with_job("labels: {\"<<\": text}"), Accepted),
        case("an unquoted template", with_job("description: {{ X }}"), Code("E-UNQUOTED-TEMPLATE")),
        case("an unquoted template in a list", with_task("    script: [{{ X }}]\n"), Code("E-UNQUOTED-TEMPLATE")),
        case("nested unquoted templates", with_job("description: {{{{ X }}}}"), Code("E-UNQUOTED-TEMPLATE")),
        case("text that turns around", with_job("description: \"\u{202e}gpj.exe\""), Accepted),
        case("a key that turns around", with_job("\u{202e}noitpircsed: x"), Code("E-UNKNOWN-KEY")),
        case("a key with nothing to see", with_job("descrip\u{200b}tion: x"), Code("E-UNKNOWN-KEY")),
        case("a cyrillic key", with_job("dеscription: x"), Code("E-UNKNOWN-KEY")),
        case("an escape sequence of a terminal", b"job_type: \x1b]0;owned\x1b\\\n".to_vec(), Code("E-YAML")),
        case("an escaped escape sequence", "job_type: \"\\e]0;owned\\a\"\n", Code("E-NAME")),
        case("an escaped nul", with_task("    script: [\"echo \\0\"]\n"), Code("E-TEMPLATE-VALUE")),
        case("emoji", with_job("description: \"👩‍👩‍👧‍👧 zalgo Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢\""), Accepted),
        case("the largest character", with_job("description: \"\u{10ffff}\""), Accepted),
        case("a key of a megabyte", with_job(&format!("{}: x", "k".repeat(1 << 20))), Code("E-YAML")),
        case("a text of three megabytes", with_job(&format!("description: {}", "x".repeat(3 << 20))), Accepted),
        case("a file that is too large", "#".repeat((4 << 20) + 1), Code("E-TOO-LARGE")),
        case("many comments", format!("{}{GOOD}", "#\n".repeat(100_000)), Accepted),
        case("blank lines", format!("{}{GOOD}", "\n".repeat(100_000)), Accepted),
        case("colons", ":".repeat(200_000), Code("E-YAML")),
        case("dashes", "- ".repeat(100_000), Code("E-DEPTH")),
        case("questions", "? ".repeat(100_000), Code("E-DEPTH")),
        case("quotes", "\"".repeat(100_001), Code("E-YAML")),
        case("ampersands", "&".repeat(100_000), Code("E-EMPTY")),
        case("stars", "*".repeat(100_000), Code("E-YAML")),
        case("exclamation marks", "!".repeat(100_000), Code("E-YAML")),
        case("bars", "|".repeat(100_000), Code("E-YAML")),
        case("braces", "{{".repeat(50_000), Code("E-DEPTH")),
        case("a long line without meaning", "a ".repeat(100_000), Code("E-TYPE")),
    ];
    for (name, open, close) in [("brackets", "[", "]"), ("braces of mappings", "{a: ", "}")] {
        for depth in [60, 70, 10_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let class = if depth < 61 { Accepted } else { Code("E-DEPTH") };
            all.push(case(format!("{depth} {name}"), with_job(&format!("job_variables: {{x: {nested}}}")), class));
        }
    }
    for (depth, code) in [(70, "E-DEPTH"), (1_000, "E-DEPTH"), (3_000, "E-TOO-LARGE")] {
        let steps = (0..depth).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<Vec<_>>().concat();
        all.push(case(format!("{depth} steps"), steps, Code(code)));
    }
    all.push(bomb("an alias bomb", "lol", 9, 9));
    all.push(bomb("a wide alias bomb", "x", 2, 100));
    all.push(bomb("a deep alias bomb", "x", 50, 2));
    all.push(bomb("a bomb of long texts", &"x".repeat(100_000), 3, 10));
    let aliases = "*a, ".repeat(100_000);
    let list = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    all.push(case(
        "many aliases",
        with_job(&format!("job_variables: {{a: &a [{list}], b: [{aliases}]}}")),
        Code("E-ALIAS-EXPANSION"),
    ));
    all.push(case(
        "many anchors",
        with_job(&format!(
            "job_variables: {{x: [{}]}}",
            (0..50_000).map(|n| format!("&a{n} 1, ")).collect::<Vec<_>>().concat()
        )),
        Accepted,
    ));
    let merges: Vec<String> =
        (1..20).map(|n| format!("  m{n}: &m{n} {{<<: [*m{}, *m{}], k{n}: 1}}\n", n - 1, n - 1)).collect();
    let merges = merges.concat();
    all.push(case(
        "a merge bomb",
        with_job(&format!("job_variables:\n  m0: &m0 {{k: 1}}\n{merges}")),
        Code("E-ALIAS-EXPANSION"),
    ));
    all
}

/// Lists of aliases of lists of aliases.
fn bomb(name: &str, text: &str, levels: usize, width: usize) -> Case {
    let mut lines = format!("  a0: &a0 [{text}]\n");
    for level in 1..=levels {
        let aliases = vec![format!("*a{}", level - 1); width].join(", ");
        lines += &["  a", &level.to_string(), ": &a", &level.to_string(), " [", &aliases, "]\n"].concat();
    }
    case(name, with_job(&format!("job_variables:\n{lines}")), Class::Code("E-ALIAS-EXPANSION"))
}
