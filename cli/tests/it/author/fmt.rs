use crate::scratch::Scratch;

const UNTIDY: &str = "tasks:\n- script: [echo]   # why\n  task_type: a\njob_type:  x\n";
const TIDY: &str = "job_type: x\ntasks:\n  - task_type: a\n    script: [echo]   # why\n";

#[test]
fn files_are_formatted_in_place_and_checked() {
    let scratch = Scratch::new();
    let file = scratch.write("flow.yaml", UNTIDY);
    scratch.atta(&["fmt", "--check", &file]).says(1, &["is not formatted"]);
    let diff = scratch.atta(&["fmt", "--diff", &file]);
    assert_eq!(diff.code, 0);
    assert!(diff.stdout.contains("+job_type: x\n") && diff.stdout.contains("-job_type:  x\n"), "{}", diff.stdout);
    assert_eq!(scratch.read("flow.yaml"), UNTIDY, "nothing was written");
    assert_eq!(scratch.atta(&["fmt", &file]).code, 0);
    assert_eq!(scratch.read("flow.yaml"), TIDY);
    let again = scratch.atta(&["fmt", "--check", &file]);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));
}

#[test]
fn a_broken_file_is_refused_and_the_others_are_formatted() {
    let scratch = Scratch::new();
    let broken = scratch.write("broken.yaml", "job_type: [\n");
    let file = scratch.write("flow.yaml", UNTIDY);
    scratch.atta(&["fmt", &broken, &file]).says(2, &["E-YAML", "broken.yaml is no YAML"]);
    assert_eq!((scratch.read("broken.yaml").as_str(), scratch.read("flow.yaml").as_str()), ("job_type: [\n", TIDY));
    scratch.atta(&["fmt", "missing.yaml"]).says(2, &["missing.yaml cannot be read"]);
}
