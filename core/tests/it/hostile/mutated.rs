//! Definitions with random faults: the same ones in every run.

use super::{Case, read};

/// A generator of numbers of which nothing is asked but that they are the same every time (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

const TOKENS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{{ X }}",
    "{{ tasks.x.outputs.y }}",
    "{{.X}}",
    "{## x ##}",
    "| raw",
    "| default('')",
    ":",
    ": ",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!x ",
    "|",
    ">-",
    "'",
    "\"",
    "\\",
    "#",
    " #",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\t",
    "\r",
    "\n",
    "\n\n",
    "---",
    "...",
    "%YAML 1.2",
    "\u{feff}",
    "\u{0}",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{10ffff}",
    "é",
    "~",
    "null",
    "true",
    "-1",
    "0",
    "1e309",
    "99999999999999999999",
    ".nan",
    "\"\"",
    "[]",
    "{}",
    "COMPLETED",
    "FAILED",
    "FATAL",
    "RESTART_JOB",
    "PAUSE_JOB",
    "END_BLOCKED",
    "ERR_X",
    "TIMED_OUT",
    "\"*\"",
    "1-255",
    "{goto: one, max: 2}",
    "{reschedule: 1m}",
    "{reschedule: 99999d, until: 1s}",
    "* * * * *",
    "0 0 29 2 *",
    "1ms",
    "7d",
    "task_type",
    "dependencies",
    "on_completed",
    "on_exit_code",
    "max_visits",
    "always_run: true",
    "fan_out: {items: [1]}",
    "method: SUBMIT_JOBS",
    "sub_workflow: {job_type: x}",
    "approval: {}",
    "secrets.x",
    "$(",
    "`",
    "${",
    "<<EOF",
];

/// One more fault.
fn fault(text: &mut Vec<u8>, others: &[Vec<u8>], numbers: &mut Numbers) {
    let lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let at = numbers.below(text.len() + 1);
    let line = numbers.below(lines.len());
    let with_lines = |change: &mut dyn FnMut(&mut Vec<Vec<u8>>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        lines.concat()
    };
    match numbers.below(10) {
        0..=2 => drop(text.splice(at..at, numbers.of(TOKENS).bytes())),
        3 => {
            // In place of what stands behind a colon.
            let colon = text[at..].iter().position(|byte| *byte == b':').map(|found| at + found + 1);
            let Some(from) = colon else { return };
            let to = text[from..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |found| from + found);
            text.splice(from..to, format!(" {}", numbers.of(TOKENS)).into_bytes());
        }
        4 if !lines.is_empty() => *text = with_lines(&mut |lines| drop(lines.remove(line))),
        5 if !lines.is_empty() => *text = with_lines(&mut |lines| lines.insert(line, lines[line].clone())),
        6 if !lines.is_empty() => {
            let other = numbers.below(lines.len());
            *text = with_lines(&mut |lines| lines.swap(line, other));
        }
        7 => {
            // Other indentation.
            let width = numbers.below(9);
            if !lines.is_empty() {
                *text = with_lines(&mut |lines| {
                    let bare = lines[line].trim_ascii_start().to_vec();
                    lines[line] = [vec![b' '; width], bare].concat();
                });
            }
        }
        8 => {
            let other = &others[numbers.below(others.len())];
            let from = numbers.below(other.len() + 1);
            let piece = &other[from..other.len().min(from + numbers.below(300))];
            text.splice(at..at, piece.iter().copied());
        }
        _ => {
            if let Some(byte) = text.get_mut(at) {
                *byte = u8::try_from(numbers.below(256)).unwrap();
            }
        }
    }
}

fn shipped() -> Vec<Vec<u8>> {
    let workflows = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let mut files: Vec<_> = [workflows.clone(), workflows.join("examples")]
        .iter()
        .flat_map(|directory| std::fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).filter(|text| text.len() < 4_000).collect()
}

fn survive(seed: u64, count: usize) {
    let mut seeds = shipped();
    assert!(seeds.len() > 10, "there are {} shipped workflows", seeds.len());
    let small = |case: &Case| case.source.len() < 2_000;
    seeds.extend(super::everything().into_iter().filter(small).map(|case| case.source));
    let mut numbers = Numbers(seed);
    for number in 0..count {
        let mut text = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(6) {
            fault(&mut text, &seeds, &mut numbers);
        }
        let shown = text.escape_ascii().to_string().replace("\\n", "\n");
        match std::panic::catch_unwind(|| read(&text)) {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => panic!("definition {number} of seed {seed}: {why}\n{shown}"),
            Err(panic) => {
                let said = panic.downcast_ref::<String>();
                panic!("definition {number} of seed {seed} makes the loader panic: {said:?}\n{shown}")
            }
        }
    }
}

#[test]
fn definitions_with_random_faults_are_read_without_panic() {
    survive(0x00A7_7A01, 1_000);
}

#[test]
fn other_definitions_with_random_faults_are_read_without_panic() {
    survive(0x00A7_7A02, 1_000);
}
