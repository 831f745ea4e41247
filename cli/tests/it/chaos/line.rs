//! The line between the queen and the ant that is far away, and what can be done to it.
//!
//! Where the kernel allows it the two are in network namespaces of their own, joined by a pair of virtual interfaces:
//! packets are dropped without a word, as on a bad network. Elsewhere a proxy cuts and holds connections.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::dice::Dice;
use crate::remote::cutting::CuttingProxy;

/// Addresses that exist in the two namespaces only.
const NEAR: &str = "10.213.7.1";
const FAR: &str = "10.213.7.2";
const PORT: u16 = 7777;

/// The line.
pub(super) enum Line {
    /// Two machines of our own.
    Namespaces(Namespaces),
    /// The same machine, and somebody in between.
    Proxy(CuttingProxy),
}

/// Two network namespaces; they go with this.
pub(super) struct Namespaces {
    near: String,
    far: String,
    /// Whether packets can be lost at random.
    netem: bool,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

impl Namespaces {
    /// Or why there cannot be any here.
    pub(super) fn make() -> Result<Self, String> {
        let process = std::process::id();
        let (near, far) = (format!("atta-near-{process}"), format!("atta-far-{process}"));
        run("ip", &["netns", "add", &near])?;
        // From here on dropping it cleans up.
        let mut made = Self { near, far, netem: false };
        run("ip", &["netns", "add", &made.far])?;
        let (near, far) = (made.near.as_str(), made.far.as_str());
        run("ip", &["-n", near, "link", "add", "line", "type", "veth", "peer", "name", "line", "netns", far])?;
        for (namespace, address) in [(near, NEAR), (far, FAR)] {
            run("ip", &["-n", namespace, "addr", "add", &format!("{address}/30"), "dev", "line"])?;
            run("ip", &["-n", namespace, "link", "set", "line", "up"])?;
            run("ip", &["-n", namespace, "link", "set", "lo", "up"])?;
        }
        run("nsenter", &[&format!("--net=/run/netns/{far}"), "true"])?;
        let bad = ["-n", near, "qdisc", "add", "dev", "line", "root", "netem", "loss", "1%"];
        made.netem = run("tc", &bad).is_ok();
        made.clear();
        Ok(made)
    }

    fn clear(&self) {
        for namespace in [&self.near, &self.far] {
            // There may be none.
            let _ = run("tc", &["-n", namespace, "qdisc", "del", "dev", "line", "root"]);
        }
    }

    /// Packets are lost in both directions: one of five at random, or else whatever does not fit through a very narrow
    /// line with almost no room to wait in.
    fn lose(&self) {
        for namespace in [&self.near, &self.far] {
            let mut arguments = vec!["-n", namespace, "qdisc", "add", "dev", "line", "root"];
            if self.netem {
                arguments.extend([
                    "netem",
                    "loss",
                    "20%",
                    "delay",
                    "30ms",
                    "20ms",
                    "reorder",
                    "10%",
                    "duplicate",
                    "5%",
                ]);
            } else {
                arguments.extend(["tbf", "rate", "400kbit", "burst", "2kb", "limit", "3kb"]);
            }
            run("tc", &arguments).expect("a namespace of our own takes a queue");
        }
    }

    fn partition(&self, cut: bool) {
        let state = if cut { "down" } else { "up" };
        run("ip", &["-n", &self.far, "link", "set", "line", state]).expect("a namespace of our own obeys");
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in [&self.near, &self.far] {
            let _ = run("ip", &["netns", "del", namespace]);
        }
    }
}

impl Line {
    /// Where the queen listens.
    pub(super) fn listen(&self) -> String {
        match self {
            Self::Namespaces(_) => format!("{NEAR}:{PORT}"),
            Self::Proxy(_) => unreachable!("the proxy comes after the queen"),
        }
    }

    /// The program as it has to be called near the queen, or far from her.
    pub(super) fn wrap(&self, far: bool, mut command: Command) -> Command {
        let Self::Namespaces(spaces) = self else { return command };
        let space = if far { &spaces.far } else { &spaces.near };
        let mut wrapped = Command::new("nsenter");
        wrapped.arg(format!("--net=/run/netns/{space}")).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        wrapped.env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                wrapped.env(name, value);
            }
        }
        command.stdin(std::process::Stdio::null());
        wrapped.stdin(std::process::Stdio::null());
        wrapped
    }

    /// Where the far ant finds the queen.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Namespaces(_) => format!("https://{NEAR}:{PORT}"),
            Self::Proxy(proxy) => proxy.url(),
        }
    }

    /// Does one bad thing to it for a while, and mends it. Returns what.
    pub(super) fn disturb(&self, dice: &mut Dice) -> &'static str {
        let a_while = Duration::from_millis(200 + dice.below(1500));
        match self {
            Self::Namespaces(spaces) if dice.below(2) == 0 => {
                spaces.partition(true);
                std::thread::sleep(a_while);
                spaces.partition(false);
                "a partition"
            }
            Self::Namespaces(spaces) => {
                spaces.lose();
                std::thread::sleep(a_while * 2);
                spaces.clear();
                "a line that loses packets"
            }
            Self::Proxy(proxy) if dice.below(2) == 0 => {
                proxy.hold(true);
                std::thread::sleep(a_while);
                proxy.hold(false);
                "a line that holds everything back"
            }
            Self::Proxy(proxy) => {
                proxy.cut_all();
                "a line that is cut"
            }
        }
    }

    /// For the fallback: a proxy in front of the queen.
    pub(super) fn proxy(queen: SocketAddr, seed: u64) -> Self {
        Self::Proxy(CuttingProxy::start(queen, seed))
    }
}
