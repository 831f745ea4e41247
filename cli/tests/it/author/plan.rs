use crate::live_server::repository;
use crate::scratch::Scratch;

#[test]
fn a_plan_tells_the_way_through_the_graph_and_its_end() {
    let scratch = Scratch::new();
    let file = repository().join("workflows/examples/loop.yaml").display().to_string();
    let done = scratch.atta(&["plan", &file, "--assume", "test=3,0"]);
    assert_eq!(done.code, 0, "{done:#?}");
    assert_eq!(
        done.stdout,
        "▶ test     exit 3\n           3 → fix\n▶ fix      COMPLETED\n           COMPLETED → test\n\
         ▶ test     COMPLETED  (visit 2)\n           COMPLETED → publish\n\
         ▶ publish  COMPLETED\n\nexample-loop: COMPLETED\n"
    );
    let plan = scratch.atta(&["plan", &file, "--json", "--assume", "test=TIMED_OUT"]).json();
    assert_eq!((&plan["verdict"], &plan["error_code"]), (&"FAILED".into(), &"ERR_STILL_BROKEN".into()), "{plan:#}");
}

#[test]
fn params_decide_conditions_and_wrong_ones_are_refused() {
    let scratch = Scratch::new();
    let file = repository().join("workflows/examples/when.yaml").display().to_string();
    let done = scratch.atta(&["plan", &file]);
    assert!(done.stdout.contains("○ deploy  SKIPPED (when)"), "{done:#?}");
    let done = scratch.atta(&["plan", &file, "-p", "Deploy=true"]);
    assert!(done.stdout.contains("▶ deploy  COMPLETED"), "{done:#?}");
    scratch.atta(&["plan", &file, "-p", "Deploy=maybe"]).says(2, &["params.Deploy"]);
    scratch.atta(&["plan", &file, "--assume", "deplyo=1"]).says(2, &["did you mean deploy?"]);
    scratch.atta(&["plan", &file, "--assume", "deploy=900"]).says(2, &["is no result"]);
}

#[test]
fn every_shipped_workflow_has_a_plan() {
    let scratch = Scratch::new();
    let directory = repository().join("workflows/examples");
    for entry in std::fs::read_dir(directory).expect("the directory exists").flatten() {
        let file = entry.path().display().to_string();
        let mut arguments = vec!["plan", &file];
        if file.ends_with("/params.yaml") {
            arguments.extend(["-p", "Who=Ada", "-p", "Dry=true"]);
        }
        let done = scratch.atta(&arguments);
        // Required params have no value to assume.
        let required = done.code == 2 && done.stderr.contains("MISSING_PARAM");
        assert!(done.code == 0 || required, "{file}: {}", done.stderr);
    }
}
