//! `atta backup`, `atta restore`, `atta migrate-store`.

use std::fmt::Write as _;
use std::path::PathBuf;

use atta_core::secret::SecretText;
use atta_core::time::Clock as _;
use atta_server::Database;
use atta_server::backup::{
    BackupError, BackupReport, BackupRequest, RestoreReport, RestoreRequest, TransferRequest, Unfinished, back_up,
    restore, transfer, verify,
};

use crate::ambient::SystemClock;
use crate::args::{BackupArgs, MigrateStoreArgs, RestoreArgs, StoreArgs};
use crate::exit::{CommandResult, Exit, Failure, capitalised};
use crate::serve::{VERSION, data_dir, database};
use crate::{ambient, output};

fn place(args: StoreArgs) -> CommandResult<(PathBuf, Database)> {
    Ok((data_dir(args.data_dir)?, database(args.database.as_ref())?))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn failure(error: BackupError) -> Failure {
    let text = error.to_string();
    // A path or an address stays as it is.
    let is_sentence = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.starts_with("postgres:");
    Failure::failed(format!("{}.", if is_sentence { capitalised(&text) } else { text }))
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `atta backup`.
pub(crate) async fn backup(args: BackupArgs) -> CommandResult {
    if let Some(file) = args.verify {
        let (header, manifest) = verify(&file).map_err(failure)?;
        if args.json {
            output::print_json(&serde_json::json!({"file": file, "header": header, "manifest": manifest}))?;
        } else {
            output::say(&format!(
                "{} is whole: a backup of {} ({}), {} with {}.\n",
                file.display(),
                header.created_at,
                header.database,
                count(manifest.members, "file", "files"),
                output::size(manifest.bytes),
            ));
        }
        return Ok(Exit::Success);
    }
    let to = args.to.ok_or_else(|| Failure::usage("Say where the backup shall go: a file or a directory."))?;
    let (data_dir, database) = place(args.store)?;
    let report = back_up(BackupRequest {
        data_dir: &data_dir,
        database: &database,
        to: &to,
        with_keys: args.with_keys,
        now: SystemClock.now(),
        program: VERSION,
    })
    .await
    .map_err(failure)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        say_what_was_saved(&report);
    }
    warn(&report, &data_dir);
    Ok(Exit::Success)
}

fn say_what_was_saved(report: &BackupReport) {
    let manifest = &report.manifest;
    output::say(&format!(
        "{}: {} of {}, {}, {}, as of {}.\n",
        report.file.display(),
        output::size(report.size),
        count(manifest.tables.get("jobs").copied().unwrap_or(0), "job", "jobs"),
        count(manifest.logs, "log", "logs"),
        count(manifest.artifacts, "artifact", "artifacts"),
        report.header.created_at,
    ));
}

/// What an operator should know about a backup.
fn warn(report: &BackupReport, data_dir: &std::path::Path) {
    if !report.keys_left_out.is_empty() {
        let files: Vec<String> =
            report.keys_left_out.iter().map(|name| data_dir.join(name).display().to_string()).collect();
        output::say(&format!(
            "warning: no keys are in it. Keep {} apart from it: without secrets.key the secrets cannot be read any more.\n",
            files.join(", ")
        ));
    }
    if ambient::variable(ambient::SECRETS_KEY).is_some() {
        output::say("warning: ATTA_SECRETS_KEY is never in a backup: keep it.\n");
    }
    if !report.manifest.keys.is_empty() {
        output::say(&format!(
            "warning: it holds {}: whoever can read it can read all secrets. It is readable by its owner only.\n",
            report.manifest.keys.join(", ")
        ));
    }
    if report.manifest.missing > 0 {
        output::say(&format!(
            "warning: the database names {} that {} not there, e.g. {}.\n",
            count(report.manifest.missing, "artifact", "artifacts"),
            if report.manifest.missing == 1 { "is" } else { "are" },
            report.missing.join(", ")
        ));
    }
    if !report.damaged.is_empty() {
        output::say(&format!(
            "warning: these artifacts are not what they were, and were saved as they are: {}.\n",
            report.damaged.join(", ")
        ));
    }
}

/// `atta restore`.
pub(crate) async fn restore_backup(args: RestoreArgs) -> CommandResult {
    let (data_dir, database) = place(args.store)?;
    let report = restore(RestoreRequest {
        file: &args.file,
        data_dir: &data_dir,
        database: &database,
        go_on: args.go_on,
        now: SystemClock.now(),
    })
    .await
    .map_err(failure)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        say_what_was_restored(&report, &data_dir, args.go_on);
    }
    Ok(Exit::Success)
}

fn say_what_was_restored(report: &RestoreReport, data_dir: &std::path::Path, go_on: bool) {
    let mut text = format!("{} and {} are as of {}.\n", data_dir.display(), report.database, report.header.created_at);
    let Unfinished { jobs, attempts } = &report.unfinished;
    if !jobs.is_empty() {
        let list: Vec<String> = jobs.iter().map(|(state, number)| format!("{number} {state}")).collect();
        let ran = count(*attempts, "attempt ran", "attempts ran");
        let _ = writeln!(text, "Not finished then: {}; {ran}.", list.join(", "));
        text.push_str(if go_on {
            "They go on when the server starts; what ran then is LOST and tried again as its definition says.\n"
        } else {
            "When the server starts, what had begun is paused and what ran is LOST; what had not begun is cancelled, \
             because it may have run since. Look with `atta jobs`, go on with `atta resume` or `atta resubmit`.\n"
        });
    }
    if report.manifest.keys.is_empty() {
        let _ = writeln!(
            text,
            "No keys were in the backup: put secrets.key (and tls.pem, links.key) back into {} before the server starts.",
            data_dir.display()
        );
    }
    text.push_str("API tokens are as of then too: revoke again what was revoked since.\n");
    output::say(&text);
}

/// `sqlite:DIR` or an address.
fn store(text: &SecretText, option: &str) -> CommandResult<(Option<PathBuf>, Database)> {
    if let Some(dir) = text.reveal().strip_prefix("sqlite:") {
        if dir.is_empty() {
            return Err(Failure::usage(format!("{option} sqlite: needs a data directory: sqlite:DIR.")));
        }
        return Ok((Some(data_dir(Some(PathBuf::from(dir)))?), Database::File));
    }
    match text.reveal().parse() {
        Ok(url) => Ok((None, Database::Postgres(url))),
        Err(error) => {
            let error: atta_server::store::PostgresUrlError = error;
            Err(Failure::usage(format!("{option} is neither sqlite:DIR nor an address of PostgreSQL: {error}.")))
        }
    }
}

/// `atta migrate-store`.
pub(crate) async fn migrate_store(args: MigrateStoreArgs) -> CommandResult {
    let (from_dir, from) = store(&args.from, "--from")?;
    let (to_dir, to) = store(&args.to, "--to")?;
    let ((Some(data_dir), None) | (None, Some(data_dir))) = (from_dir, to_dir) else {
        let message = "Rows move between sqlite:DIR and postgres://…: one of --from and --to is each.";
        return Err(Failure::usage(message).with_help("Two databases of one kind: atta backup, then atta restore."));
    };
    let report = transfer(TransferRequest { data_dir: &data_dir, from: &from, to: &to, now: SystemClock.now() })
        .await
        .map_err(failure)?;
    if args.json {
        output::print_json(&report)?;
        return Ok(Exit::Success);
    }
    let rows: u64 = report.tables.values().sum();
    let next = match to {
        Database::Postgres(_) => format!("ATTA_DATABASE_URL=… atta serve --data-dir {}", data_dir.display()),
        Database::File => format!("atta serve --data-dir {}", data_dir.display()),
    };
    output::say(&format!(
        "{} of {} tables are in {}; {} is not used any more.\nStart the server again: {next}\n",
        count(rows, "row", "rows"),
        report.tables.len(),
        report.to,
        report.from,
    ));
    Ok(Exit::Success)
}
