//! Which programs evaluate what they are given.

use super::frame::{Code, CodeKind, Expects, Word};
use super::reader::{assigns_run, run_by_option};

/// Words after which another command follows.
pub(super) const RESERVED_BEFORE_COMMAND: &[&str] =
    &["if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "fi", "done", "esac", "}", "coproc"];

/// Programs that run the command which follows them.
const PREFIXES: &[&str] = &[
    "builtin", "busybox", "chrt", "command", "doas", "env", "exec", "ionice", "nice", "nohup", "setsid", "stdbuf",
    "sudo", "time", "timeout",
];

/// Options of those programs that take the next word.
fn takes_argument(prefix: &str, option: &str) -> bool {
    let letters = match prefix {
        "chrt" => "TPD",
        "doas" => "uC",
        "env" => "uCS",
        "exec" => "a",
        "ionice" => "cnpPu",
        "nice" => "n",
        "stdbuf" => "ioe",
        "sudo" => "CDghpRrTtUu",
        "time" => "fo",
        "timeout" => "ks",
        _ => "",
    };
    let mut chars = option.chars();
    // In a cluster the last letter counts.
    chars.next() == Some('-')
        && !option.starts_with("--")
        && chars.next_back().is_some_and(|last| letters.contains(last))
}

/// Commands that evaluate any of their arguments as code, names with subscripts, or files to execute.
const EVALUATE_ALL: &[&str] = &[
    ".",
    "alias",
    "at",
    "batch",
    "bind",
    "compgen",
    "complete",
    "crontab",
    "dc",
    "enable",
    "eval",
    "expect",
    "fc",
    "gdb",
    "getopts",
    "gmake",
    "hash",
    "let",
    "make",
    "mapfile",
    "mosh",
    "parallel",
    "pdsh",
    "read",
    "readarray",
    "rsh",
    "scp",
    "socat",
    "source",
    "sqlite3",
    "ssh",
    "tclsh",
    "tmux",
    "trap",
    "unset",
    "watch",
    "xargs",
];

const SHELLS: &[&str] =
    &["ash", "bash", "dash", "fish", "flock", "ksh", "mksh", "rbash", "runuser", "script", "sh", "su", "yash", "zsh"];

const INTERPRETERS: &[&str] = &[
    "bun",
    "deno",
    "julia",
    "lua",
    "mysql",
    "node",
    "nodejs",
    "osascript",
    "perl",
    "php",
    "psql",
    "pwsh",
    "python",
    "Rscript",
    "ruby",
];

pub(super) const DECLARATIONS: &[&str] = &["declare", "typeset", "local", "export", "readonly"];

/// Operators whose operands `[[ … ]]` (and `[ … ]` of some shells) takes for arithmetic.
pub(super) const ARITHMETIC_TESTS: &[&str] = &["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

/// What a word at command position turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The command's name, or part of it.
    Name,
    /// Its words are a `for` or `function` header, and this is the name in it.
    HeaderName,
    /// `NAME=…`.
    Assignment,
    /// Anything else.
    Argument,
}

/// The position in `words` of the command itself: behind `sudo`, `env A=b`, `timeout 5`, …; `None` when it has not come yet.
pub(super) fn command_index(words: &[String]) -> Option<usize> {
    let mut index = 0;
    loop {
        let word = words.get(index)?;
        if !PREFIXES.contains(&base(word)) {
            return Some(index);
        }
        let prefix = base(word);
        index += 1;
        while let Some(word) = words.get(index) {
            if takes_argument(prefix, word) {
                index += 2;
                continue;
            }
            let number = word.starts_with(|c: char| c.is_ascii_digit());
            if word.starts_with(['-', '+']) || is_assignment(word) || number {
                index += 1;
            } else {
                break;
            }
        }
    }
}

/// The role of the word that is being read.
pub(super) fn role(code: &Code) -> Role {
    if code.command.expects != Expects::Argument
        || matches!(code.kind, CodeKind::Array | CodeKind::Test | CodeKind::CaseWord | CodeKind::CasePattern)
    {
        return Role::Argument;
    }
    let text = code.word.as_ref().map_or("", |word| word.text.as_str());
    let words = &code.command.words;
    if matches!(words.first().map(String::as_str), Some("for" | "select" | "function")) {
        return if words.len() == 1 { Role::HeaderName } else { Role::Argument };
    }
    let asks = words.len() >= 2 && words[0] == "command" && matches!(words[1].as_str(), "-v" | "-V");
    if asks || command_index(words).is_some() {
        return Role::Argument;
    }
    if is_assignment(text) {
        return Role::Assignment;
    }
    if !words.is_empty() && text.starts_with('-') {
        return Role::Argument;
    }
    Role::Name
}

/// `name=`, `name+=`, with anything behind it.
pub(super) fn is_assignment(text: &str) -> bool {
    let Some((name, _)) = text.split_once('=') else { return false };
    let name = name.strip_suffix('+').unwrap_or(name);
    // `a[0]=`.
    let name = name.strip_suffix(']').and_then(|name| name.split_once('[')).map_or(name, |(name, _)| name);
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Why a value in the word that is being read would be evaluated, if it would.
pub(super) fn evaluates(code: &Code) -> Option<String> {
    let empty = Word::default();
    let word = code.word.as_ref().unwrap_or(&empty);
    let words = &code.command.words;
    let previous = words.last().map_or("", String::as_str);
    if code.command.expects != Expects::Argument {
        return None;
    }
    match code.kind {
        CodeKind::Test => return test_operand(previous, "[["),
        CodeKind::Array => {
            let subscript = word.text.starts_with('[') && !word.text.contains("]=");
            return subscript.then(|| "an array's subscript is evaluated as arithmetic".to_owned());
        }
        CodeKind::CaseWord | CodeKind::CasePattern => return None,
        _ => {}
    }
    if let Some(reason) = assigns_run(&word.text) {
        let assigns = words.first().is_none_or(|first| base(first) == "env" || DECLARATIONS.contains(&first.as_str()));
        if assigns {
            return Some(reason);
        }
    }
    if words.is_empty() && word.text.contains('[') && !is_assignment(&word.text) {
        return Some("an array's subscript is evaluated as arithmetic".to_owned());
    }
    if words.first().is_some_and(|first| base(first) == "env")
        && (word.text.starts_with("--split-string") || word.text.starts_with("-S"))
    {
        return Some("`env -S` splits it into a command".to_owned());
    }
    if code.command.vanishing {
        return Some(
            "if what stands before it expands to nothing, this is the command; write it in double quotes".to_owned(),
        );
    }
    let name_at = command_index(words)?;
    let name = base(&words[name_at]);
    let arguments = &words[name_at + 1..];
    if matches!(name, "test" | "[") {
        return test_operand(previous, name);
    }
    // Behind `sudo` and the like the command may be further on than it seems.
    let names = if name_at > 0 { &words[1..] } else { &words[..1] };
    if let Some(name) = names.iter().map(|word| base(word)).find(|name| EVALUATE_ALL.contains(name)) {
        return Some(format!("`{name}` evaluates its arguments"));
    }
    if let Some(reason) = run_by_option(name, arguments, &word.text) {
        return Some(reason);
    }
    if name == "printf" && arguments.iter().all(|argument| argument == "--") {
        return Some("`printf` evaluates `%` and `\\` in its format; write printf '%s' {{ x }}".to_owned());
    }
    if DECLARATIONS.contains(&name) {
        let evaluates = arguments.iter().any(|word| word.starts_with('-') && word.contains(['a', 'A', 'i', 'n']));
        if evaluates || !word.text.contains('=') {
            return Some(format!("`{name}` evaluates the names that it is given"));
        }
        return None;
    }
    if name == "printf" && previous == "-v" {
        return Some("`printf -v` evaluates the subscript of the name".to_owned());
    }
    if matches!(name, "awk" | "gawk" | "mawk" | "nawk") {
        return program_word(arguments, &["-v", "-F", "-f"], &["-f"])
            .then(|| format!("it is part of the program of `{name}`"));
    }
    if matches!(name, "sed" | "gsed") {
        let first = program_word(arguments, &["-e", "-f"], &["-f", "-e"]);
        return (first || option_of(previous, &word.text, "e", &["--expression="]))
            .then(|| "it is part of the program of `sed`".to_owned());
    }
    for (index, candidate) in words.iter().enumerate().skip(name_at) {
        let candidate = base(candidate);
        if SHELLS.contains(&candidate) && command_string(candidate, &words[index + 1..], &word.text) {
            return Some(format!("`{candidate} -c` evaluates its argument"));
        }
        let options_only = words[index + 1..].iter().all(|word| word.starts_with(['-', '+']));
        let takes_file = !matches!(candidate, "flock" | "script" | "su" | "runuser") && !word.text.starts_with('-');
        if index == name_at
            && SHELLS.contains(&candidate)
            && takes_file
            && options_only
            && previous != "-s"
            && previous != "--"
        {
            return Some(format!("`{candidate}` runs this file"));
        }
        let interpreter = candidate.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        if INTERPRETERS.contains(&interpreter)
            && (matches!(interpreter, "mysql" | "psql") || before_script(&words[index + 1..]))
            && option_of(
                previous,
                &word.text,
                "ceCEprn",
                &["--eval=", "--command=", "--execute=", "--print=", "--run="],
            )
        {
            return Some(format!("`{candidate}` runs this argument as a program"));
        }
    }
    None
}

fn test_operand(previous: &str, name: &str) -> Option<String> {
    if ARITHMETIC_TESTS.contains(&previous) {
        return Some(format!("`{name} … {previous}` evaluates it as arithmetic"));
    }
    matches!(previous, "-v" | "-R").then(|| format!("`{name} {previous}` evaluates the subscript of a name"))
}

/// Whether the next word of a shell's arguments is the string behind `-c`.
fn command_string(shell: &str, arguments: &[String], current: &str) -> bool {
    // `su user -c …`: words may come before the option.
    let words_first = matches!(shell, "su" | "flock" | "runuser" | "script");
    let (mut has_c, mut skip) = (false, false);
    for argument in arguments {
        if skip {
            skip = false;
        } else if argument.starts_with("--") {
            has_c |= argument == "--command";
        } else if argument.len() > 1 && argument.starts_with(['-', '+']) {
            has_c |= argument.contains('c');
            skip = argument.ends_with(['o', 'O']);
        } else if has_c || !words_first {
            return false;
        }
    }
    has_c || (current.starts_with('-') && current.contains('c'))
}

/// Whether no script or module has been named yet: what follows one is its own.
fn before_script(arguments: &[String]) -> bool {
    arguments.iter().all(|word| word.starts_with('-') && word != "-m") || arguments.len() == 1 && arguments[0] == "eval"
}

/// Whether the word is the first one that is no option.
fn program_word(arguments: &[String], with_argument: &[&str], given_otherwise: &[&str]) -> bool {
    let mut skip = false;
    for argument in arguments {
        if skip {
            skip = false;
        } else if with_argument.contains(&argument.as_str()) {
            if given_otherwise.contains(&argument.as_str()) {
                return false;
            }
            skip = true;
        } else if !argument.is_empty() && (!argument.starts_with('-') || argument == "-") {
            return false;
        }
    }
    !skip
}

/// Whether the word is the argument of one of the options, which may be attached or in a cluster.
fn option_of(previous: &str, current: &str, letters: &str, long: &[&str]) -> bool {
    let cluster = |word: &str| {
        word.strip_prefix('-').is_some_and(|rest| !rest.starts_with('-') && rest.chars().any(|c| letters.contains(c)))
    };
    cluster(previous)
        || long.iter().any(|option| previous == option.trim_end_matches('=') || current.starts_with(option))
        || cluster(current)
}

/// The last component of a path.
pub(super) fn base(word: &str) -> &str {
    if word == "." { word } else { word.rsplit('/').next().unwrap_or(word) }
}
