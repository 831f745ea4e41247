//! A server that takes a question and does not answer.

use sqlx::{Connection as _, PgConnection};

use super::*;

#[tokio::test(flavor = "current_thread")]
async fn a_read_that_is_not_answered_is_given_up_and_its_connection_is_not_used_again() {
    let case = Case::new(Dialect::Postgres).await;
    let jobs = async |store: Store| query("SELECT count(*) FROM jobs").fetch_one(store.readers()).await.map(drop);
    jobs(case.store.clone()).await.unwrap();
    let mut other = PgConnection::connect(&case.server.as_ref().unwrap().url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let read = tokio::spawn(jobs(case.store.clone()));
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        let sessions: i64 = sqlx::query_scalar(waiting).fetch_one(&mut other).await.unwrap();
        if sessions == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
    // From now on time passes as soon as everybody waits for the network.
    tokio::time::pause();
    let error = read.await.unwrap().unwrap_err();
    tokio::time::resume();
    assert_eq!(error.to_string(), "error communicating with database: the server does not answer");
    assert_eq!(case.store.readers().idle_connections(), 0, "nobody else may get that connection");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    jobs(case.store.clone()).await.unwrap();
}
