//! `atta check-diff`: what is in the commits that are about to be pushed and should not be.

mod git;
mod secrets;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use atta_agents::PathGlobs;
use atta_core::protocol::agent_configuration::AGENT_CONFIGURATION;
use atta_core::redact::Redactor;
use atta_core::secret::{SecretText, SecretValue};
use clap::Args;
use serde::Serialize;

use self::git::{Changed, Git};
use self::secrets::Rule;

/// Commits that are looked through.
const MOST_COMMITS: usize = 2_000;
/// Findings that are listed.
const MOST_LISTED: usize = 200;

/// Files that decide what is run for a repository, and by whom changes are read.
const PROTECTED: [&str; 16] = [
    ".github/workflows/**",
    ".github/actions/**",
    ".github/dependabot.*",
    "**/CODEOWNERS",
    ".gitlab-ci.yml",
    ".gitlab/**",
    ".circleci/**",
    ".buildkite/**",
    ".travis.yml",
    ".drone.yml",
    ".woodpecker.*",
    ".woodpecker/**",
    "azure-pipelines.*",
    "bitbucket-pipelines.yml",
    "Jenkinsfile",
    ".pre-commit-config.yaml",
];

#[derive(Debug, Args)]
pub(crate) struct CheckDiffArgs {
    /// What is there already: a commit or branch. Several can be given.
    #[arg(long = "base", value_name = "REF", required = true)]
    bases: Vec<String>,
    /// What is to be pushed.
    #[arg(long, value_name = "REF", default_value = "HEAD")]
    head: String,
    /// The checkout.
    #[arg(short = 'C', long = "directory", value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// More files that nobody may change without approval.
    #[arg(long = "protect", value_name = "GLOB")]
    protect: Vec<String>,
    /// Protected files that may be changed after all.
    #[arg(long = "allow", value_name = "GLOB")]
    allow: Vec<String>,
    /// Files in which no secrets are looked for, such as made-up ones of tests.
    #[arg(long = "ignore", value_name = "GLOB")]
    ignore: Vec<String>,
    /// A variable of the environment whose value must not be in there, in any of the forms in which secrets turn up.
    #[arg(long = "secret-env", value_name = "NAME")]
    secret_env: Vec<String>,
    /// The most files that may be different.
    #[arg(long, value_name = "N", default_value_t = 300)]
    max_files: usize,
    /// The most lines that may be new.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    max_lines: usize,
    /// The longest file, in bytes.
    #[arg(long, value_name = "N", default_value_t = 5 << 20)]
    max_file_bytes: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What kind of thing was found; the number is the exit code when it is the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Secret,
    Unsafe,
    Protected,
    TooLarge,
}

impl Kind {
    /// The gravest first.
    const ALL: [Self; 4] = [Self::Secret, Self::Unsafe, Self::Protected, Self::TooLarge];

    fn exit(self) -> u8 {
        match self {
            Self::Secret => 3,
            Self::Protected => 4,
            Self::TooLarge => 5,
            Self::Unsafe => 6,
        }
    }
}

/// Something that should not be pushed as it is. Nothing of a secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    kind: Kind,
    rule: &'static str,
    /// In words.
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    result: &'static str,
    exit_code: u8,
    commits: usize,
    files: usize,
    lines_added: usize,
    findings: Vec<Finding>,
    /// How many are not listed.
    more: usize,
}

/// Checks, prints, and says by its exit code what came of it.
pub(crate) fn check_diff(args: &CheckDiffArgs, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
    let (report, exit) = match Check::new(args, variable).and_then(Check::perform) {
        Ok(report) => {
            let exit = report.exit_code;
            let json = serde_json::to_string_pretty(&report).unwrap_or_default();
            (if args.json { json + "\n" } else { in_words(&report) }, exit)
        }
        Err(message) => {
            let json = serde_json::json!({"result": "error", "exit_code": 1, "message": message});
            (if args.json { format!("{json}\n") } else { format!("The changes could not be checked: {message}.\n") }, 1)
        }
    };
    let _ = std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes());
    ExitCode::from(exit)
}

fn in_words(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let commit = finding.commit.as_deref().map(|commit| format!(" (commit {})", &commit[..commit.len().min(12)]));
        let _ = writeln!(text, "{}{}", finding.message, commit.unwrap_or_default());
    }
    if report.more > 0 {
        let _ = writeln!(text, "… and {} more", report.more);
    }
    let size = format!("{} commits, {} files, {} new lines", report.commits, report.files, report.lines_added);
    let verdict = match report.exit_code {
        0 => "Nothing was found",
        3 => "Do not push: there is a secret in it",
        4 => "Somebody has to approve this: it changes protected files",
        5 => "This is larger than allowed",
        _ => "Do not push: this reaches out of the repository",
    };
    let _ = writeln!(text, "{verdict} ({size}).");
    text
}

struct Check<'a> {
    args: &'a CheckDiffArgs,
    git: Git,
    rules: Vec<Rule>,
    own: Option<Redactor>,
    protected: PathGlobs,
    allowed: PathGlobs,
    ignored: PathGlobs,
    findings: Vec<Finding>,
    lines: usize,
}

impl<'a> Check<'a> {
    fn new(args: &'a CheckDiffArgs, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if !git::is_there() {
            return Err("git is not installed".to_owned());
        }
        let mut own = Vec::new();
        for name in &args.secret_env {
            let value = variable(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| format!("the variable {name} of `--secret-env` is not set"))?;
            own.push(SecretValue { name: name.clone(), value: SecretText::new(value) });
        }
        let usual = AGENT_CONFIGURATION.into_iter().chain(PROTECTED);
        Ok(Self {
            git: Git::new(&args.directory),
            rules: secrets::rules().map_err(|error| error.to_string())?,
            own: if own.is_empty() { None } else { Redactor::new(&own) },
            protected: PathGlobs::new(usual.chain(args.protect.iter().map(String::as_str)))?,
            allowed: PathGlobs::new(args.allow.iter().map(String::as_str))?,
            ignored: PathGlobs::new(args.ignore.iter().map(String::as_str))?,
            args,
            findings: Vec::new(),
            lines: 0,
        })
    }

    fn perform(mut self) -> Result<Report, String> {
        let bases = self.args.bases.iter().map(|base| self.git.commit(base)).collect::<Result<Vec<_>, _>>()?;
        let head = self.git.commit(&self.args.head)?;
        let commits = self.git.commits(&bases, &head)?;
        if commits.len() > MOST_COMMITS {
            return Err(format!("there are {} commits, and the most are {MOST_COMMITS}", commits.len()));
        }
        if self.git.shallow()?.iter().any(|cut| commits.contains(cut)) {
            return Err("the history between base and head is not complete: fetch it without `--depth`".to_owned());
        }
        let mut files: HashSet<String> = HashSet::new();
        for commit in &commits {
            for (rule, what) in self.secrets_in(&self.git.message(commit)?) {
                let message = format!("What is written about a commit holds {what}");
                self.find(Kind::Secret, rule, message, None, None, commit);
            }
            let changed = self.git.changed(commit)?;
            let own = changed.iter().filter(|file| !is_submodule(file));
            let blobs: Vec<String> = own.filter_map(|file| Some(file.after.as_ref()?.0.clone())).collect();
            let sizes = if blobs.is_empty() { HashMap::default() } else { self.git.sizes(&blobs)? };
            for file in &changed {
                files.insert(file.path.clone());
                let size = file.after.as_ref().and_then(|(blob, _)| sizes.get(blob).copied()).unwrap_or(0);
                self.file(file, size, commit)?;
            }
        }
        if files.len() > self.args.max_files {
            let message = format!("{} files are different, and {} are allowed", files.len(), self.args.max_files);
            self.find(Kind::TooLarge, "files", message, None, None, &head);
        }
        if self.lines > self.args.max_lines {
            let message = format!("{} lines are new, and {} are allowed", self.lines, self.args.max_lines);
            self.find(Kind::TooLarge, "lines", message, None, None, &head);
        }
        let found = |kind: &Kind| self.findings.iter().any(|finding| finding.kind == *kind);
        let gravest = Kind::ALL.into_iter().find(found);
        let mut findings = self.findings;
        findings.sort_by_key(|finding| Kind::ALL.iter().position(|kind| *kind == finding.kind));
        let more = findings.len().saturating_sub(MOST_LISTED);
        findings.truncate(MOST_LISTED);
        Ok(Report {
            result: match gravest {
                None => "clean",
                Some(Kind::Secret) => "secret",
                Some(Kind::Unsafe) => "unsafe",
                Some(Kind::Protected) => "protected",
                Some(Kind::TooLarge) => "too_large",
            },
            exit_code: gravest.map_or(0, Kind::exit),
            commits: commits.len(),
            files: files.len(),
            lines_added: self.lines,
            findings,
            more,
        })
    }

    fn file(&mut self, file: &Changed, size: u64, commit: &str) -> Result<(), String> {
        let path = self.shown(&file.path);
        if path.is_none() {
            let message = "The name of a file holds a secret".to_owned();
            self.find(Kind::Secret, "name", message, None, None, commit);
        }
        let name = path.clone().unwrap_or_else(|| "a file".to_owned());
        if is_submodule(file) || file.path == ".gitmodules" {
            let message = format!("{name}: another repository is brought in or changed");
            self.find(Kind::Unsafe, "submodule", message, path, None, commit);
            return Ok(());
        }
        if self.protected.matches(&file.path) && !self.allowed.is_match(&file.path) {
            let message = format!("{name}: a protected file is changed");
            self.find(Kind::Protected, "protected", message, path.clone(), None, commit);
        }
        let Some((blob, mode)) = &file.after else { return Ok(()) };
        if size > self.args.max_file_bytes {
            let message = format!("{name}: has {size} bytes, and {} are allowed", self.args.max_file_bytes);
            self.find(Kind::TooLarge, "bytes", message, path, None, commit);
            return Ok(());
        }
        let content = self.git.blob(blob)?;
        if *mode == 0o120_000 && leads_out(&file.path, &String::from_utf8_lossy(&content)) {
            let message = format!("{name}: a link leads out of the repository");
            self.find(Kind::Unsafe, "link", message, path.clone(), None, commit);
        }
        let before: Vec<Vec<u8>> = file.before.iter().map(|blob| self.git.blob(blob)).collect::<Result<_, _>>()?;
        let known: HashSet<&[u8]> = before.iter().flat_map(|text| text.split(|byte| *byte == b'\n')).collect();
        let mut found: BTreeMap<&'static str, (usize, &'static str)> = BTreeMap::new();
        let mut new = Vec::new();
        let ignored = self.ignored.is_match(&file.path);
        for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() || known.contains(line) {
                continue;
            }
            self.lines += 1;
            if ignored {
                continue;
            }
            new.extend_from_slice(line);
            new.push(b'\n');
            let text = String::from_utf8_lossy(line);
            for rule in self.rules.iter().filter(|rule| rule.finds(&text)) {
                found.entry(rule.name).or_insert((number + 1, rule.what));
            }
        }
        for (rule, (line, what)) in found {
            let message = format!("{name}: line {line} holds {what}");
            self.find(Kind::Secret, rule, message, path.clone(), Some(line), commit);
        }
        if let Some(own) = self.own.as_ref().and_then(|own| own.find(&new)) {
            let message = format!("{name}: holds the value of {own}");
            self.find(Kind::Secret, "own", message, path, None, commit);
        }
        Ok(())
    }

    fn secrets_in(&self, text: &str) -> Vec<(&'static str, String)> {
        let rules = self.rules.iter().filter(|rule| text.lines().any(|line| rule.finds(line)));
        let mut found: Vec<(&'static str, String)> = rules.map(|rule| (rule.name, rule.what.to_owned())).collect();
        if let Some(own) = self.own.as_ref().and_then(|own| own.find(text.as_bytes())) {
            found.push(("own", format!("the value of {own}")));
        }
        found
    }

    /// A path for people, unless there is a secret in it.
    fn shown(&self, path: &str) -> Option<String> {
        let plain: String = path.chars().map(|c| if c.is_control() { '?' } else { c }).take(300).collect();
        self.secrets_in(path).is_empty().then_some(plain)
    }

    fn find(
        &mut self,
        kind: Kind,
        rule: &'static str,
        message: String,
        path: Option<String>,
        line: Option<usize>,
        commit: &str,
    ) {
        let finding = Finding { kind, rule, message, path, line, commit: Some(commit.to_owned()) };
        // The same in several commits is one thing.
        let same =
            |other: &Finding| (other.rule, &other.path, &other.message) == (rule, &finding.path, &finding.message);
        if !self.findings.iter().any(same) {
            self.findings.push(finding);
        }
    }
}

fn is_submodule(file: &Changed) -> bool {
    file.mode_before == 0o160_000 || file.after.as_ref().is_some_and(|(_, mode)| *mode == 0o160_000)
}

/// Whether a link of a repository leads elsewhere, or to what git keeps for itself.
fn leads_out(path: &str, target: &str) -> bool {
    if target.starts_with('/') || target.contains('\0') {
        return true;
    }
    let mut depth = Path::new(path).components().count().saturating_sub(1);
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            part if part.eq_ignore_ascii_case(".git") => return true,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_in_thought_only() {
        for (path, target, out) in [
            ("a", "b", false),
            ("a/b", "../c", false),
            ("a/b", "../../c", true),
            ("a", "/etc/passwd", true),
            ("a/b/c", "./../../x/../y", false),
            ("a", ".git/config", true),
            ("a", "b/.GIT/hooks", true),
        ] {
            assert_eq!(leads_out(path, target), out, "{path} -> {target}");
        }
    }

    #[test]
    fn a_directory_s_place_is_protected_like_what_is_in_it() {
        let set = PathGlobs::new([".github/workflows/**", "**/CODEOWNERS"]).unwrap();
        for (path, protected) in [
            (".github/workflows/ci.yml", true),
            (".github/workflows", true),
            (".GitHub/Workflows/ci.yml", true),
            ("docs/CODEOWNERS", true),
            (".github/ISSUE_TEMPLATE/x.md", false),
            ("src/workflows/a.rs", false),
        ] {
            assert_eq!(set.matches(path), protected, "{path}");
        }
    }
}
