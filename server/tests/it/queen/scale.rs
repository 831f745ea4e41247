//! Work per message does not grow with the number of tasks or jobs.

use atta_core::protocol::ant::{Heard, Report, ReportBatch};
use std::fmt::Write as _;

use super::rig::{Ant, Rig, report};

#[tokio::test]
async fn two_thousand_tasks_are_given_out_and_reported_in_batches() {
    let mut rig = Rig::new().await;
    let mut source = "job_type: wide\ntasks:\n".to_owned();
    for n in 0..2000 {
        writeln!(source, "  - task_type: t{n}\n    script: [\"true\"]").unwrap();
    }
    rig.upload(&source).await;
    let job = rig.submit("wide").await;
    let mut ant = Ant::new("ant", 50);
    let mut work = ant.poll(&rig.queen).await.assignments;
    while !work.is_empty() {
        let reports: Vec<Report> =
            work.iter().map(|assignment| report(assignment, 2, ant.report_of(assignment))).collect();
        let batch = ReportBatch { ant: ant.id.clone(), session: 1, heard: Heard::default(), reports };
        work = rig.queen.report(batch).await.unwrap().assignments;
    }
    assert_eq!(rig.state(&job).await, "COMPLETED");
    assert_eq!(rig.rows("SELECT count(*) FROM attempts WHERE result = 'COMPLETED'").await, ["2000"]);
    rig.restart().await;
}
