//! Torture: the real binary is killed again and again under load, and everything it acknowledged has to be there.
//!
//! ```text
//!   start ─▶ all that was acknowledged is there and right ─▶ load ─▶ kill -9 ─▶ `hioload blocks check` ─▶ start …
//! ```
//!
//! What a killed process leaves is what the system has: this shows that nothing in memory was acknowledged, that no
//! moment leaves a store that does not open, and that no space is lost. Every other check is made as if the machine
//! had been started anew, by another boot id: the database then takes its last synced state for the only one it can
//! trust, and the journal has to bring back what came later. What a power failure leaves of writes is the simulation's
//! business. Drivers take turns.

mod load;
mod web;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use self::load::{Clerk, Counts};
use self::web::Web;
use crate::args::Args;
use crate::process::{Running, command, hioload, target_dir};
use crate::stop::{Outcome, Stop};

/// Kills when nobody says otherwise.
const KILLS_DEFAULT: u32 = 200;
/// Clients at a time when nobody says otherwise.
const CLIENTS_DEFAULT: u64 = 4;
/// How long a server is under load before it is killed, in milliseconds.
const LOAD_MS: (u64, u64) = (10, 120);
/// A server that does not listen by then never will.
const START_MAX: Duration = Duration::from_secs(20);

/// Kills the server as often as asked.
pub(crate) fn run(mut args: Args) -> Outcome {
    let kills: u32 = args.parsed("--kills", KILLS_DEFAULT)?;
    let clients: u64 = args.parsed("--clients", CLIENTS_DEFAULT)?;
    let seed: u64 = args.parsed("--seed", 1)?;
    let driver = args.value("--driver")?;
    let durability = args.value("--durability")?;
    let binary = args.value("--hioload")?;
    args.finish()?;
    let drivers = driver.map_or_else(|| vec!["auto".to_owned(), "poll".to_owned()], |it| vec![it]);
    let dir = target_dir().join(format!("torture-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|error| Stop::io(dir.display(), &error))?;
    let mut rack = Rack {
        binary: hioload(binary)?,
        data: dir.join("data"),
        boot_id: boot_id(&dir)?,
        reboots: 0,
        drivers,
        durability,
        clerks: (0..clients)
            .map(|number| Clerk::new(number, seed))
            .collect(),
        seed,
    };
    let began = Instant::now();
    for life in 0..kills {
        rack.live(life)
            .map_err(|stop| told(stop, life, &rack.data))?;
    }
    rack.end(kills)
        .map_err(|stop| told(stop, kills, &rack.data))?;
    let mut counts = Counts::default();
    rack.clerks
        .iter()
        .for_each(|clerk| counts.add(&clerk.counts));
    println!(
        "{kills} kills in {:.0} s, {} checks as after a power cut: {counts}; nothing was lost",
        began.elapsed().as_secs_f64(),
        rack.reboots,
    );
    if counts.puts == 0 || counts.deletes == 0 || counts.open == 0 {
        return Err(Stop::Failed(
            "the load did not do what it is for".to_owned(),
        ));
    }
    fs::remove_dir_all(&dir).map_err(|error| Stop::io(dir.display(), &error))
}

fn told(stop: Stop, life: u32, data: &Path) -> Stop {
    match stop {
        Stop::Failed(why) => Stop::Failed(format!(
            "after {life} kills: {why}; the store is left in {}",
            data.display()
        )),
        other => other,
    }
}

/// A command that runs its arguments where the machine's boot id is what that file says.
fn in_boot(boot_id: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"")
        .arg(boot_id);
    command
}

/// A file for another boot id, where the system allows for one.
fn boot_id(dir: &Path) -> Outcome<Option<PathBuf>> {
    let path = dir.join("boot-id");
    fs::write(&path, "").map_err(|error| Stop::io(path.display(), &error))?;
    let mut tried = in_boot(&path);
    let tried = tried.arg("true").stderr(Stdio::null()).status();
    Ok(tried.is_ok_and(|status| status.success()).then_some(path))
}

/// All there is to it.
struct Rack {
    binary: PathBuf,
    data: PathBuf,
    /// What says which boot of the machine it is; none where that cannot be pretended.
    boot_id: Option<PathBuf>,
    reboots: u32,
    drivers: Vec<String>,
    durability: Option<String>,
    clerks: Vec<Clerk>,
    seed: u64,
}

impl Rack {
    /// A server from its start to its kill.
    fn live(&mut self, life: u32) -> Outcome {
        let (server, addr) = self.start(life)?;
        self.verify(&addr)?;
        let (least, most) = LOAD_MS;
        let pause = least + load::mix(self.seed ^ u64::from(life)) % (most - least);
        thread::scope(|scope| {
            for clerk in &mut self.clerks {
                let addr = &addr;
                scope.spawn(move || clerk.work(addr));
            }
            thread::sleep(Duration::from_millis(pause));
            // SIGKILL, to the process that was started here.
            drop(server);
        });
        for clerk in &mut self.clerks {
            clerk.failure()?;
        }
        self.check(life)
    }

    /// The last count: what is known is there, and nothing else.
    fn end(&mut self, life: u32) -> Outcome {
        let (server, addr) = self.start(life)?;
        self.verify(&addr)?;
        let known: u64 = self.clerks.iter().map(Clerk::present).sum();
        let mut web = Web::dial(&addr).map_err(|error| Stop::io("a connection", &error))?;
        let stats = web
            .ask("GET", "/stats", b"")
            .map_err(|error| Stop::io("GET /stats", &error))?;
        let stats: serde_json::Value = serde_json::from_slice(&stats.body)
            .map_err(|error| Stop::Failed(format!("GET /stats: {error}")))?;
        drop((web, server));
        // The figures are of the start or later: all that is put since then was there before.
        let blocks = stats["controller"]["blocks"].as_u64();
        if blocks.is_none_or(|blocks| blocks < known) {
            return Err(Stop::Failed(format!(
                "{blocks:?} blocks, {known} are known"
            )));
        }
        self.check(life)
    }

    fn start(&self, life: u32) -> Outcome<(Running, String)> {
        let driver = &self.drivers[life as usize % self.drivers.len()];
        let mut command = command(&self.binary);
        command
            .args(["serve", "--addr", "127.0.0.1:0", "--admin", "off"])
            .args(["--driver", driver, "--workers", "2"])
            .arg("--data")
            .arg(&self.data)
            .env("HIOLOAD_BLOCKS_GROW", "4MiB")
            .env("HIOLOAD_LOG_LEVEL", "error")
            .stdout(Stdio::piped());
        if let Some(durability) = &self.durability {
            command.env("HIOLOAD_BLOCKS_DURABILITY", durability);
        }
        let mut server = Running::spawn(&mut command)?;
        let addr = server.announced("listening on ", START_MAX)?;
        Ok((server, addr))
    }

    fn verify(&mut self, addr: &str) -> Outcome {
        thread::scope(|scope| {
            for clerk in &mut self.clerks {
                scope.spawn(move || clerk.verify(addr));
            }
        });
        self.clerks.iter_mut().try_for_each(Clerk::failure)
    }

    /// Index, data file and free map agree, and every content is what its name says.
    fn check(&mut self, life: u32) -> Outcome {
        let mut command = match &self.boot_id {
            Some(boot_id) if life.is_multiple_of(2) => {
                let id = format!(
                    "{:08x}-0000-4000-8000-000000000000\n",
                    self.seed as u32 ^ !life
                );
                fs::write(boot_id, id).map_err(|error| Stop::io(boot_id.display(), &error))?;
                self.reboots += 1;
                let mut command = in_boot(boot_id);
                command.arg(&self.binary);
                command
            }
            _ => command(&self.binary),
        };
        command.args(["blocks", "check", "--contents", "--data"]);
        command.arg(&self.data).stderr(Stdio::piped());
        let output = command
            .output()
            .map_err(|error| Stop::io("hioload blocks check", &error))?;
        if output.status.success() {
            return Ok(());
        }
        let words = [&output.stdout[..], &output.stderr].concat();
        Err(Stop::Failed(format!(
            "hioload blocks check: {}: {}",
            output.status,
            String::from_utf8_lossy(&words)
        )))
    }
}
