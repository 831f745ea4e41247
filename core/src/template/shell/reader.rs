//! Programs that read their program from the standard input, and words that programs or the shell run later.

use super::command::{base, command_index};

const SHELLS: &[&str] = &["ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "sh", "su", "yash", "zsh"];

const INTERPRETERS: &[&str] =
    &["Rscript", "bun", "deno", "lua", "node", "nodejs", "perl", "php", "pwsh", "python", "ruby", "tclsh"];

/// They run what they read whatever else they are given.
const ALWAYS: &[&str] = &["at", "batch", "crontab", "dc", "expect", "gdb", "mysql", "psql", "sqlite3"];

/// They may run a shell that is named further on.
const RUNNERS: &[&str] = &["chroot", "docker", "kubectl", "lxc", "nsenter", "podman", "ssh", "systemd-run", "unshare"];

/// Variables whose value the shell or a program runs, or evaluates as arithmetic.
const RUN_VARIABLES: &[&str] = &[
    "BASH_ENV",
    "EDITOR",
    "ENV",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "HISTCMD",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LESSOPEN",
    "MAKEFLAGS",
    "NODE_OPTIONS",
    "OPTIND",
    "PAGER",
    "PATH",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONPATH",
    "RANDOM",
    "RUBYOPT",
    "SECONDS",
    "SRANDOM",
    "SSH_ASKPASS",
    "VISUAL",
];

/// Options whose argument is a command.
const COMMAND_OPTIONS: &[(&str, &[&str])] = &[
    ("find", &["-exec", "-execdir", "-ok", "-okdir"]),
    ("git", &["--exec", "--extcmd", "--open-files-in-pager", "--receive-pack", "--upload-pack", "--exec-path"]),
    (
        "tar",
        &[
            "--checkpoint-action",
            "--info-script",
            "--rsh-command",
            "--to-command",
            "--use-compress-program",
            "-F",
            "-I",
        ],
    ),
    ("rsync", &["--rsh", "--rsync-path", "-e"]),
];

/// The parts of git's configuration that name commands.
const GIT_COMMAND_KEYS: &[&str] = &[
    "alias.",
    "askpass",
    "browser.",
    "command",
    "core.editor",
    "core.gitproxy",
    "core.pager",
    "credential",
    "diff",
    "editor",
    "filter",
    "fsmonitor",
    "gpg",
    "hookspath",
    "include",
    "merge",
    "pager",
    "protocol",
    "remote",
    "uploadpack",
    "url.",
];

/// The program, if it takes its program from the standard input.
pub(super) fn reads_program(words: &[String]) -> Option<String> {
    let at = command_index(words)?;
    let name = base(&words[at]);
    let arguments = &words[at + 1..];
    let interpreter = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let sourced = matches!(name, "." | "source") && arguments.first().is_some_and(|file| file == "/dev/stdin");
    let shell_behind = || {
        let inner = arguments.iter().position(|word| SHELLS.contains(&base(word)))?;
        shell_reads(&arguments[inner + 1..]).then_some(())
    };
    let reads = ALWAYS.contains(&name)
        || sourced
        || (SHELLS.contains(&name) && shell_reads(arguments))
        || (INTERPRETERS.contains(&interpreter) && interpreter_reads(arguments))
        || (RUNNERS.contains(&name) && shell_behind().is_some())
        || (name == "ssh" && arguments.iter().filter(|word| !word.starts_with('-')).count() <= 1);
    reads.then(|| format!("`{name}` reads it as its program"))
}

fn shell_reads(arguments: &[String]) -> bool {
    let mut skip = false;
    for argument in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        if argument == "/dev/stdin" {
            return true;
        }
        let Some(options) = argument.strip_prefix(['-', '+']) else { return false };
        if options.starts_with('-') {
            continue;
        }
        if options.contains('c') {
            return false;
        }
        if options.contains('s') {
            return true;
        }
        skip = options.ends_with(['o', 'O']);
    }
    true
}

fn interpreter_reads(arguments: &[String]) -> bool {
    for argument in arguments {
        if matches!(argument.as_str(), "-" | "/dev/stdin") {
            return true;
        }
        match argument.strip_prefix('-') {
            Some(options) if !options.starts_with('-') && options.contains(['c', 'e', 'E', 'm', 'r', 'p']) => {
                return false;
            }
            Some(_) => {}
            None => return false,
        }
    }
    true
}

/// Why assigning a value by this word would let it run.
pub(super) fn assigns_run(text: &str) -> Option<String> {
    let (name, _) = text.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    RUN_VARIABLES.contains(&name).then(|| format!("what is in the variable {name} is run or evaluated"))
}

/// Why a value in the word `current` behind `arguments` of a program would be run by it.
pub(super) fn run_by_option(name: &str, arguments: &[String], current: &str) -> Option<String> {
    let previous = arguments.last().map_or("", String::as_str);
    let options = COMMAND_OPTIONS.iter().find(|(program, _)| *program == name)?.1;
    let takes = |option: &&&str| {
        previous == **option
            || current.strip_prefix(**option).is_some_and(|rest| rest.starts_with('=') || !option.starts_with("--"))
    };
    // `find -exec grep {{ x }}`: only the command itself.
    if let Some(option) = options.iter().find(takes) {
        return Some(format!("`{name} {option}` runs it"));
    }
    (name == "git").then(|| git(arguments, previous, current)).flatten()
}

fn git(arguments: &[String], previous: &str, current: &str) -> Option<String> {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let runs = |key: &str| {
        let key = key.to_ascii_lowercase();
        key.is_empty() || GIT_COMMAND_KEYS.iter().any(|part| key.contains(part))
    };
    let configures = match previous {
        "-c" | "--config" if !has("commit") => runs(current.split_once('=').map_or("", |(key, _)| key)),
        _ if has("config") => arguments
            .iter()
            .skip_while(|word| *word != "config")
            .skip(1)
            .find(|word| !word.starts_with('-'))
            .is_none_or(|key| runs(key)),
        _ => false,
    };
    if configures {
        return Some("git runs commands that its configuration names".to_owned());
    }
    let runs = (has("rebase") || has("difftool")) && previous == "-x"
        || has("bisect") && has("run")
        || has("submodule") && has("foreach")
        || has("filter-branch");
    runs.then(|| "git runs it as a command".to_owned())
}
