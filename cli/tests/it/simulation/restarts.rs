//! Ants and queens that are started again and again, and are back in time: nothing is lost for it.

use std::time::Duration;

use atta_core::protocol::ant::DEFAULT_LEASE;
use atta_core::time::Clock as _;
use tokio::time::sleep;

use super::absence::at_work;
use super::checks;
use super::schedule::in_a_world;

const ROUNDS: u32 = 60;
const PAUSE: Duration = Duration::from_mins(1);
/// With the time since the last sign of life it is less than a lease.
const AWAY: Duration = Duration::from_secs(15);

#[test]
fn an_ant_or_a_queen_that_is_back_within_a_lease_loses_nothing() {
    in_a_world(None, async |dir| {
        let mut colony = at_work(&dir, 256 << 20, Duration::from_hours(12)).await;
        let world = colony.world.clone();
        world.give_files(true);
        let began = world.queen_clock.monotonic();
        for round in 0..ROUNDS {
            sleep(PAUSE).await;
            if round % 3 != 0 {
                colony.ants[0].kill(false).await;
                sleep(AWAY).await;
                colony.ants[0].start(&colony.house.address).await;
            }
            if round % 3 != 1 {
                colony.house.kill().await;
                sleep(AWAY).await;
                colony.house.start();
            }
        }
        assert_eq!(colony.ants[0].ant.as_ref().unwrap().running().len(), 4, "all of it runs still");
        let now = world.queen_clock.monotonic();
        assert!(
            !world.hearings().was_silent(0, began, now, DEFAULT_LEASE),
            "nothing excuses a loss: {}",
            world.trace()
        );
        colony.calm_down().await;
        colony.end().await;
        checks::check(&mut colony).await;
        assert_eq!(world.violations(), [""; 0], "{}", world.trace());
        let results = colony.house.rows("SELECT number, coalesce(exit_code, result) FROM attempts ORDER BY number");
        assert_eq!(results, ["1 1", "2 2", "3 0", "4 1"], "each result as the program gave it, once");
        for ant in &mut colony.ants {
            ant.kill(false).await;
        }
        colony.house.kill().await;
    });
}
