//! Finding the program that gets the script.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use atta_core::definition::Program;

/// The program's words with the default shell filled in.
pub(super) fn words(program: &Program, path: &OsStr) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match program {
        Program::DefaultShell if find("bash", path, Path::new("/")).is_ok() => owned(&["bash", "-euo", "pipefail"]),
        Program::DefaultShell => owned(&["sh", "-eu"]),
        Program::Shell(words) | Program::Interpreter(words) => words.clone(),
    }
}

/// The executable file that a name stands for: on `path`, or below `work` when it has a slash.
pub(crate) fn find(name: &str, path: &OsStr, work: &Path) -> Result<PathBuf, String> {
    if name.is_empty() || name.contains('\0') {
        return Err(format!("{name:?} is no name of a program"));
    }
    if name.contains('/') {
        let file = work.join(name);
        return match executable(&file) {
            Some(true) => Ok(file),
            Some(false) => Err(format!("the program `{name}` is not an executable file")),
            None => Err(format!("the program `{name}` does not exist")),
        };
    }
    let mut not_executable = None;
    for directory in std::env::split_paths(path) {
        // An empty entry of PATH is the working directory.
        let file = work.join(directory).join(name);
        match executable(&file) {
            Some(true) => return Ok(file),
            Some(false) => not_executable = not_executable.or(Some(file)),
            None => {}
        }
    }
    Err(match not_executable {
        Some(file) => format!("the program `{name}` was found as {}, which is not an executable file", file.display()),
        None => format!("the program `{name}` is not on the ant's PATH ({})", path.to_string_lossy()),
    })
}

/// `None` when there is no such file.
fn executable(file: &Path) -> Option<bool> {
    let metadata = fs::metadata(file).ok()?;
    Some(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_would() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32| {
            let file = dir.path().join(name);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        make("yes", 0o755);
        make("no", 0o644);
        let path = dir.path().as_os_str();
        assert_eq!(find("yes", path, Path::new("/")).unwrap(), dir.path().join("yes"));
        assert_eq!(find("./yes", OsStr::new(""), dir.path()).unwrap(), dir.path().join("./yes"));
        let message = |name: &str| find(name, path, dir.path()).unwrap_err();
        assert!(message("no").ends_with("which is not an executable file"));
        assert_eq!(message("nix"), format!("the program `nix` is not on the ant's PATH ({})", dir.path().display()));
        assert_eq!(message("./nix"), "the program `./nix` does not exist");
        assert_eq!(words(&Program::DefaultShell, path), ["sh", "-eu"]);
        make("bash", 0o755);
        assert_eq!(words(&Program::DefaultShell, path), ["bash", "-euo", "pipefail"]);
    }
}
