//! `atta fmt`: the canonical form of definitions.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use atta_core::definition::{Extent, Formatted, Limits, format, render_diagnostics, violations};
use owo_colors::OwoColorize;

use super::FmtArgs;
use super::diff::diff;
use crate::exit::{CommandResult, Exit, Failure};
use crate::output;

/// Formats the files in place; with `--check` or `--diff` only says what would change.
pub(crate) fn fmt(args: &FmtArgs) -> CommandResult {
    let mut changed = 0;
    let mut failure = None;
    for path in &args.files {
        match one(path, args) {
            Ok(same) => changed += usize::from(!same),
            // The other files are still formatted.
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    earlier.print();
                }
            }
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if changed > 0 && args.check => Ok(Exit::Failed),
        None => Ok(Exit::Success),
    }
}

/// Whether the file was in order already.
fn one(path: &Path, args: &FmtArgs) -> CommandResult<bool> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| Failure::usage(format!("{name} cannot be read: {error}."));
    let stdin = path.as_os_str() == "-";
    let limits = Limits::default();
    let most = limits.source_bytes as u64 + 1;
    let mut source = Vec::new();
    if stdin {
        std::io::stdin().lock().take(most).read_to_end(&mut source).map_err(unreadable)?;
    } else {
        fs::File::open(path).map_err(unreadable)?.take(most).read_to_end(&mut source).map_err(unreadable)?;
    }
    let formatted = format(&name, &source, &limits).map_err(|diagnostics| {
        let mut failure =
            Failure::new(Exit::Usage, "INVALID_DEFINITION", format!("{name} is no YAML that could be formatted."))
                .with_violations(violations(&name, &source, &diagnostics));
        failure.rendered = Some(render_diagnostics(&name, &source, &diagnostics, true).into());
        failure
    })?;
    note(&name, &formatted);
    let same = formatted.text.as_bytes() == source;
    if args.diff && !same {
        output::print(&diff(&name, &String::from_utf8_lossy(&source), &formatted.text))?;
    }
    if args.check || args.diff {
        if args.check && !same {
            output::say(&format!("{} {name} is not formatted\n", "✗".red()));
        }
    } else if stdin {
        output::print(&formatted.text)?;
    } else if !same {
        replace(path, formatted.text.as_bytes())
            .map_err(|error| Failure::failed(format!("{name} cannot be written: {error}.")))?;
        output::say(&format!("{} {name}\n", "formatted".green()));
    }
    Ok(same)
}

fn note(name: &str, formatted: &Formatted) {
    let left = match formatted.extent {
        Extent::Full => return,
        Extent::Order => "the order of its keys is left as it is",
        Extent::Spacing => "its indentation and the order of its keys are left as they are",
        Extent::Nothing => "it is left as it is",
    };
    output::say(&format!("{name}: {left}: anything else could change what it means\n"));
}

/// A file is replaced whole or not at all, through links, and keeps its mode.
fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let path = fs::canonicalize(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text)?;
    file.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
