//! What people ask of ants.

use atta_core::protocol::AntId;
use atta_core::protocol::ant::AntCondition;
use atta_core::protocol::ants::{AntMode, AntResource, AntSpool, AntState};

use super::ants::Ant;
use super::command::Command;
use super::leases::Contact;
use super::queue::method_needed;
use super::state::State;
use super::{Queen, Refusal};

impl Queen {
    /// All ants, by name.
    pub async fn ants(&self) -> Result<Vec<AntResource>, Refusal> {
        self.ask(Command::ListAnts).await
    }

    /// Takes an ant out of service, or back into it. Survives restarts of both.
    pub async fn set_ant_mode(&self, ant: &AntId, mode: AntMode) -> Result<AntResource, Refusal> {
        self.ask(|reply| Command::SetAntMode { ant: ant.clone(), mode, reply }).await
    }
}

impl Ant {
    /// Whether it lives.
    pub(super) fn state(&self) -> AntState {
        match self.contact {
            Contact::Lost => AntState::Lost,
            _ if !self.met => AntState::Awaited,
            Contact::Silent(_) => AntState::Silent,
            Contact::Live => AntState::Live,
        }
    }
}

impl State {
    pub(super) fn list_ants(&self) -> Vec<AntResource> {
        self.ants.values().map(|ant| self.ant_resource(ant)).collect()
    }

    pub(super) fn set_ant_mode(&mut self, id: &AntId, mode: AntMode) -> Result<AntResource, Refusal> {
        let Some(ant) = self.ants.get_mut(id) else { return Err(Refusal::NotFound { what: format!("ant {id}") }) };
        if ant.row.mode != mode {
            ant.row.mode = mode;
            self.service_changed = true;
            self.staged.ants.insert(id.clone());
        }
        self.ants
            .get(id)
            .map(|ant| self.ant_resource(ant))
            .ok_or_else(|| Refusal::NotFound { what: format!("ant {id}") })
    }

    fn ant_resource(&self, ant: &Ant) -> AntResource {
        let state = ant.state();
        let silence = self.clock.monotonic().saturating_sub(ant.heard_at);
        let heard = ant.slots > 0 || ant.met;
        let last_heard = atta_core::time::UnixMillis(
            self.clock.now().0.saturating_sub(i64::try_from(silence.as_millis()).unwrap_or(i64::MAX)),
        );
        let mut attempts: Vec<_> = ant.held.keys().cloned().collect();
        attempts.sort();
        AntResource {
            ant_id: ant.row.id.clone(),
            state,
            mode: ant.row.mode,
            since: ant.row.since.to_rfc3339(),
            last_heard_at: heard.then(|| last_heard.to_rfc3339()),
            slots: u32::try_from(ant.slots).unwrap_or(u32::MAX),
            used: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
            tags: ant.tags.iter().filter(|tag| method_needed(tag).is_none()).cloned().collect(),
            attempts,
            spool: ant.condition.as_ref().map(spool),
        }
    }
}

fn spool(condition: &AntCondition) -> AntSpool {
    AntSpool {
        bytes: condition.spool_bytes,
        since: condition.spool_since.map(atta_core::time::UnixMillis::to_rfc3339),
        limit_bytes: condition.spool_limit_bytes,
        limit_seconds: condition.spool_limit_ms.map(|millis| millis / 1000),
    }
}
