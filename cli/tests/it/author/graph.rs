use crate::live_server::repository;
use crate::scratch::Scratch;

const FLOW: &str = r#"
job_type: picture
tasks:
  - task_type: test
    max_visits: 4
    script: [exit 3]
    on_exit_code:
      0: COMPLETED
      COMPLETED: ship
      3: {goto: fix, max: 3}
      "64-78": ERR_USAGE
      TIMED_OUT: {reschedule: 2m}
      FAILED: END_BLOCKED
  - task_type: fix
    script: [echo]
    on_completed: test
  - task_type: ship
    when: "{{ JobAttempt }}"
    script: [echo]
  - task_type: tell
    dependencies: [{task: ship, optional: true}]
    script: [echo]
  - task_type: tidy
    always_run: true
    dependencies: [tell]
    script: [echo]
"#;

#[test]
fn mermaid_shows_tasks_routes_loops_and_ends() {
    let scratch = Scratch::new();
    let file = scratch.write("flow.yaml", FLOW);
    let done = scratch.atta(&["graph", &file]);
    assert_eq!(done.code, 0, "{done:#?}");
    insta::assert_snapshot!(done.stdout, @r#"
    flowchart TD
        n0["test<br/>at most 4 visits"]
        n1["fix"]
        n2["ship<br/>on a condition"]
        n3["tell"]
        n4[["tidy<br/>in any case"]]
        n5(["ERR_USAGE"])
        n6(["END_BLOCKED"])
        n2 -.->|"optional"| n3
        n3 --> n4
        n0 -->|"COMPLETED, 0"| n2
        n0 -->|"3 #40;at most 3×#41;"| n1
        n0 -->|"64-78"| n5
        n0 ==>|"TIMED_OUT: again after 2m"| n0
        n0 -->|"FAILED"| n6
        n1 ==>|"COMPLETED"| n0
    "#);
}

#[test]
fn dot_and_svg_show_the_same() {
    let scratch = Scratch::new();
    let file = scratch.write("flow.yaml", FLOW);
    let dot = scratch.atta(&["graph", &file, "--format", "dot"]).stdout;
    for part in [
        "digraph job {",
        "n0 [label=\"test\\nat most 4 visits\"]",
        "n0 -> n1 [label=\"3 (at most 3×)\"]",
        "n1 -> n0 [label=\"COMPLETED\", style=bold, constraint=false]",
        "n2 -> n3 [label=\"optional\", style=dashed]",
        "label=\"END_BLOCKED\", shape=oval",
    ] {
        assert!(dot.contains(part), "{part} is not in\n{dot}");
    }
    let svg = scratch.atta(&["graph", &file, "--format", "svg"]).stdout;
    assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>"), "{svg}");
    for part in [">test<", ">END_BLOCKED<", "ERR_USAGE", "3 (at most 3×)"] {
        assert!(svg.contains(part), "{part} is not in\n{svg}");
    }
}

#[test]
fn every_shipped_workflow_can_be_drawn() {
    let scratch = Scratch::new();
    let directory = repository().join("workflows/examples");
    for entry in std::fs::read_dir(directory).expect("the directory exists").flatten() {
        let file = entry.path().display().to_string();
        for format in ["mermaid", "svg"] {
            let done = scratch.atta(&["graph", &file, "--format", format]);
            assert_eq!(done.code, 0, "{file} as {format}: {}", done.stderr);
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_with_a_reason() {
    let scratch = Scratch::new();
    let file = scratch.write("broken.yaml", "job_type: x\ntasks: [{task_type: a, scrip: [b]}]\n");
    scratch.atta(&["graph", &file]).says(2, &["E-UNKNOWN-KEY", "did you mean `script`?"]);
    let tasks: Vec<String> = (0..500).map(|n| format!("  - {{task_type: t{n}, script: [echo]}}")).collect();
    let tasks = tasks.join("\n");
    let file = scratch.write("wide.yaml", format!("job_type: wide\ntasks:\n{tasks}"));
    scratch.atta(&["graph", &file, "--format", "svg"]).says(2, &["500 nodes", "--format dot"]);
    assert_eq!(scratch.atta(&["graph", &file, "--format", "dot"]).code, 0);
}
