//! What git takes as the name of a branch, as a ref and as the address of a repository. Values from outside end up in
//! them: whatever could be read as an option or as a command is refused here, before any program is started.

/// Longest name or address, in bytes.
const LONGEST: usize = 2_000;

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitName {
    /// A branch that is made.
    Branch,
    /// A branch, a tag, a full ref or a commit that exists.
    Ref,
}

impl GitName {
    fn what(self) -> &'static str {
        match self {
            Self::Branch => "a branch",
            Self::Ref => "a branch, tag or commit",
        }
    }
}

/// Checks a name by the rules of `git check-ref-format`. The error is a sentence that says which rule.
pub fn check_git_name(kind: GitName, name: &str) -> Result<(), String> {
    let Some(reason) = problem(kind, name) else { return Ok(()) };
    Err(format!("{:?} cannot be the name of {}: it {reason}", shown(name), kind.what()))
}

fn problem(kind: GitName, name: &str) -> Option<&'static str> {
    let has = |bad: &[char]| name.contains(bad);
    Some(if name.is_empty() {
        "is empty"
    } else if name.len() > LONGEST {
        "is too long"
    } else if name.starts_with('-') {
        "begins with `-`, which a program reads as an option"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else if has(&[' ']) {
        "has a space (the filter `slug` makes a name of any text)"
    } else if has(&['~', '^', ':', '?', '*', '[', '\\']) {
        "has one of the characters ~ ^ : ? * [ \\ (the filter `slug` makes a name of any text)"
    } else if name.contains("..") || name.contains("@{") || name == "@" {
        "has `..` or `@{`, or is `@`"
    } else if name.starts_with('/') || name.ends_with('/') || name.contains("//") {
        "has a `/` with nothing before or after it"
    } else if name.ends_with('.')
        || name.split('/').any(|part| part.starts_with('.') || part.strip_suffix(".lock").is_some())
    {
        "ends with `.`, or has a part that begins with `.` or ends with `.lock`"
    } else if kind == GitName::Branch && (name == "HEAD" || name.starts_with("refs/")) {
        "is a name that git uses itself"
    } else {
        return None;
    })
}

/// Checks the address of a repository: `https`, `http`, `ssh`, `git` or `file` URLs, `user@host:path`, or an absolute
/// path. The error is a sentence; it shows no password.
pub fn check_git_url(url: &str) -> Result<(), String> {
    let reason = if url.is_empty() {
        "it is empty"
    } else if url.len() > LONGEST {
        "it is too long"
    } else if url.starts_with('-') {
        "it begins with `-`, which a program reads as an option"
    } else if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "it has a space or a control character"
    } else if let Some((scheme, rest)) = url.split_once("://") {
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        match scheme.to_ascii_lowercase().as_str() {
            "file" if !rest.starts_with('/') => "a file URL has three slashes: file:///srv/git/project.git",
            "https" | "http" | "ssh" | "git" if host.is_empty() || host.starts_with('/') => "it names no host",
            "https" | "http" | "ssh" | "git" if host.starts_with('-') || rest.starts_with('-') => {
                "its host begins with `-`, which a program reads as an option"
            }
            "file" | "https" | "http" | "ssh" | "git" => return Ok(()),
            _ => "its scheme is none of https, http, ssh, git and file",
        }
    } else if url.starts_with('/') {
        return Ok(());
    } else if url.contains("::") {
        "it names a transport helper, which could be any program"
    } else if let Some((host, path)) = url.split_once(':') {
        let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
        if name.is_empty() || name.starts_with('-') || host.contains('/') || path.is_empty() {
            "it is neither a URL, nor `user@host:path`, nor an absolute path"
        } else {
            return Ok(());
        }
    } else {
        "it is neither a URL, nor `user@host:path`, nor an absolute path"
    };
    Err(format!("{:?} cannot be the address of a repository: {reason}", shown(&redacted_git_url(url))))
}

/// The address without what may be a secret: the password of a URL, and for http and https the user name too, where
/// many services take a token.
pub fn redacted_git_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..authority_end].rfind('@') else { return url.to_owned() };
    let (user, host) = (&rest[..at], &rest[at + 1..]);
    let web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    match user.split_once(':') {
        _ if web => format!("{scheme}://{host}"),
        Some((user, _)) => format!("{scheme}://{user}@{host}"),
        None => url.to_owned(),
    }
}

fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_takes_are_taken() {
        for name in ["main", "ai/12-0a1b2c3d", "fix.1", "a-b", "ünïcode", "v1.0", "a/b/c"] {
            assert_eq!(check_git_name(GitName::Branch, name), Ok(()), "{name}");
            assert_eq!(check_git_name(GitName::Ref, name), Ok(()), "{name}");
        }
        for name in ["refs/pull/7/head", "HEAD", "4f0b9c1f0c6ad1cbd0b1f0a8a1d6a4e1f0a8b7c6"] {
            assert_eq!(check_git_name(GitName::Ref, name), Ok(()), "{name}");
        }
    }

    #[test]
    fn hostile_names_are_refused_with_the_rule() {
        for (name, rule) in [
            ("", "is empty"),
            ("--upload-pack=touch /tmp/x", "begins with `-`"),
            ("-b", "begins with `-`"),
            ("two words", "has a space"),
            ("a..b", "`..`"),
            ("a^{commit}", "~ ^ : ? * ["),
            ("a:b", "~ ^ : ? * ["),
            ("x@{1}", "`@{`"),
            ("a//b", "`/`"),
            ("/a", "`/`"),
            ("a/.git", "begins with `.`"),
            ("a.lock", "`.lock`"),
            ("a\nb", "control character"),
            ("HEAD", "git uses itself"),
            ("refs/heads/x", "git uses itself"),
        ] {
            let message = check_git_name(GitName::Branch, name).unwrap_err();
            assert!(message.contains(rule), "{name:?}: {message}");
        }
    }

    #[test]
    fn addresses_that_could_start_a_program_are_refused() {
        for url in [
            "https://example.com/a.git",
            "https://user:pass@example.com/a.git",
            "ssh://git@example.com:2222/a.git",
            "git@example.com:org/a.git",
            "file:///srv/a.git",
            "/srv/a.git",
        ] {
            assert_eq!(check_git_url(url), Ok(()), "{url}");
        }
        for (url, rule) in [
            ("", "empty"),
            ("--upload-pack=x", "begins with `-`"),
            ("ext::sh -c true", "space"),
            ("ext::sh", "transport helper"),
            ("ssh://-oProxyCommand=x/a", "its host begins with `-`"),
            ("ssh://u@-oProxyCommand=x/a", "its host begins with `-`"),
            ("-oProxyCommand=x:a", "begins with `-`"),
            ("u@-oProxyCommand=x:a", "neither a URL"),
            ("ftp://example.com/a", "its scheme"),
            ("https:///a", "no host"),
            ("project.git", "neither a URL"),
            ("../a.git", "neither a URL"),
            ("file://a/b", "three slashes"),
        ] {
            let message = check_git_url(url).unwrap_err();
            assert!(message.contains(rule), "{url}: {message}");
        }
    }

    #[test]
    fn messages_show_no_password() {
        assert_eq!(redacted_git_url("https://user:s3cret@example.com/a@b"), "https://example.com/a@b");
        assert_eq!(redacted_git_url("https://t0ken@example.com/a"), "https://example.com/a");
        assert_eq!(redacted_git_url("ssh://git:pw@example.com/a"), "ssh://git@example.com/a");
        assert_eq!(redacted_git_url("git@example.com:a"), "git@example.com:a");
        let message = check_git_url("ftp://user:s3cret@example.com/a").unwrap_err();
        assert!(!message.contains("s3cret"), "{message}");
    }
}
