//! `hioload serve` and `hioload echo`: flags to a running server, signals to its end.
//!
//! ```text
//!  flags ─▶ ServerBuilder ─▶ bound ─▶ "listening on ADDR" ─▶ run ─▶ exit 0
//!                              │        SIGINT, SIGTERM: shutdown(), the second one exits at once
//!                              └─ admin, SIGHUP: see `Control`
//! ```

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hioload::layer::Logging;
use hioload::{Broadcast, DriverChoice, Echo, Server, ServerBuilder, ServerHandle, Settings};
use hioload_base::ByteSize;
use hioload_mem::Machine;
use hioload_ws::deflate::DeflatePolicy;

use super::plan::plan;
use super::{DriverArg, descriptors, exit, log};

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Sends it to everybody else.
    Broadcast,
    /// Sends it back.
    Echo,
}

/// Flags of `hioload serve` and `hioload echo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9002")]
    pub(crate) addr: SocketAddr,

    /// Settings from a TOML file; flags win over the environment (HIOLOAD_*), that over the file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where health, figures and probes are served over HTTP; `off` for nowhere
    #[arg(long, value_name = "HOST:PORT|off", default_value = "127.0.0.1:9090")]
    pub(crate) admin: AdminArg,

    /// What is logged to stderr
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = log::Level::Info)]
    pub(crate) log: log::Level,

    /// Worker threads, each with its own event loop; 0: one per core
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Workers")]
    pub(crate) workers: usize,

    /// Bind each worker to a core
    #[arg(long, help_heading = "Workers")]
    pub(crate) pin: bool,

    /// Take cores and memory of this NUMA node
    #[arg(long, value_name = "NODE", help_heading = "Workers")]
    pub(crate) numa: Option<u32>,

    /// How I/O is done
    #[arg(long, value_enum, default_value_t = DriverArg::Auto, help_heading = "Workers")]
    pub(crate) driver: DriverArg,

    /// Events a worker handles in one turn at most
    #[arg(long, value_name = "N", default_value_t = 512, help_heading = "Workers",
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch: u32,

    /// Messages that may be under way from one worker to another
    #[arg(long, value_name = "N", default_value_t = 2048, help_heading = "Workers",
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) ring: u32,

    /// Buffers and channel logs of each worker at most
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "128MiB",
        help_heading = "Memory"
    )]
    pub(crate) memory: ByteSize,

    /// Take buffers from huge pages where the system has some
    #[arg(long, help_heading = "Memory")]
    pub(crate) hugepages: bool,

    /// Longest message that is taken; longer ones close their connection with 1009
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "1MiB",
        help_heading = "Protocol"
    )]
    pub(crate) message_size_max: ByteSize,

    /// Compress for clients that offer it (permessage-deflate)
    #[arg(long, value_enum, value_name = "on|off", default_value_t = Switch::Off, help_heading = "Protocol")]
    pub(crate) deflate: Switch,

    /// On shutdown, how long sessions may take to end, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, help_heading = "Shutdown",
          value_parser = seconds)]
    pub(crate) shutdown_timeout: f64,

    /// On shutdown, sessions closed per second and worker; 0: all at once
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Shutdown")]
    pub(crate) shutdown_pace: u32,
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

/// An address, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdminArg(pub(crate) Option<SocketAddr>);

impl FromStr for AdminArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let addr = text
            .parse()
            .map_err(|_| "neither HOST:PORT nor `off`".to_owned())?;
        Ok(Self(Some(addr)))
    }
}

/// A length of time in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=86_400.0)
        .contains(&seconds)
        .then_some(seconds)
        .ok_or_else(|| "use 0 to 86400 seconds".to_owned())
}

impl ServeArgs {
    /// What sessions and channels work by.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        let size = self.message_size_max.bytes_usize();
        settings.ws.message_size_max = size;
        settings.ws.frame_size_max = size;
        // An answer as long as the longest message has to fit, and several at a time.
        settings.output_max = settings.output_max.max(size.saturating_mul(2));
        settings.assembly_max = settings.assembly_max.max(size.saturating_mul(4));
        settings.accept.deflate = (self.deflate == Switch::On).then(DeflatePolicy::default);
        settings
    }

    /// A server by these flags.
    pub(crate) fn builder(&self, service: Service) -> ServerBuilder {
        let driver = match self.driver {
            DriverArg::Auto => DriverChoice::Auto,
            DriverArg::Uring => DriverChoice::Uring,
            DriverArg::Poll => DriverChoice::Poll,
        };
        let mut builder = Server::builder()
            .addr(self.addr)
            .workers(self.workers)
            .pin(self.pin)
            .numa(self.numa)
            .driver(driver)
            .batch(self.batch as usize)
            .ring(self.ring as usize)
            .hugepages(self.hugepages)
            .memory(self.memory.bytes_usize())
            .settings(self.settings())
            .shutdown(
                Duration::from_secs_f64(self.shutdown_timeout),
                self.shutdown_pace,
            );
        if self.log >= log::Level::Debug {
            builder = builder.layer(Logging);
        }
        match service {
            Service::Broadcast => builder.handler(|_| Broadcast::default()),
            Service::Echo => builder.handler(|_| Echo),
        }
    }
}

/// Serves until a signal ends it.
pub(crate) fn run(args: &ServeArgs, service: Service) -> ExitCode {
    log::start(args.log);
    descriptors::raise();
    if let Err(error) = plan(args).check(&Machine::detect()) {
        return exit::usage(&error);
    }
    let server = match args.builder(service).build() {
        Ok(server) => server,
        Err(error) => return exit::usage(&error),
    };
    if let Err(error) = watch_signals(server.handle()) {
        return exit::failure(&format!("cannot watch for signals: {error}"));
    }
    // Programs read the port from here. A closed stdout is their choice.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "listening on {}", server.local_addr()).and_then(|()| stdout.flush());
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}

/// SIGINT and SIGTERM end the server in good order; the second one ends the process.
#[cfg(unix)]
fn watch_signals(handle: ServerHandle) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let watch = move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            match signal {
                // The settings are those of the flags, and flags do not change.
                SIGHUP => tracing::info!("nothing to reload: no configuration file"),
                _ if is_ending => std::process::exit(128 + signal),
                _ => {
                    tracing::info!("shutting down; the same signal again ends the process at once");
                    is_ending = true;
                    handle.shutdown();
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(drop)
}

/// The system ends the process; there is nothing to watch.
#[cfg(not(unix))]
fn watch_signals(_: ServerHandle) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn args(line: &str) -> Result<ServeArgs, clap::Error> {
        let words = std::iter::once("serve").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn defaults_are_local() {
        let args = args("").expect("no flags");
        assert!(args.addr.ip().is_loopback());
        assert_eq!(args.admin.0.map(|addr| addr.port()), Some(9090));
        assert_eq!(args.settings().accept.deflate, None);
    }

    #[test]
    fn the_admin_listener_can_be_off() {
        assert_eq!(args("--admin off").expect("off").admin, AdminArg(None));
        assert!(args("--admin nowhere").is_err());
    }

    #[test]
    fn the_longest_message_fits_through_every_limit() {
        for size in ["125", "1MiB", "32MiB"] {
            let settings = args(&format!("--message-size-max {size}"))
                .expect("a size")
                .settings();
            let size = settings.ws.message_size_max;
            assert!(settings.ws.frame_size_max >= size);
            assert!(
                settings.output_max >= size && settings.assembly_max >= size,
                "{size}"
            );
        }
    }

    #[test]
    fn impossible_values_are_refused_with_code_2() {
        for line in [
            "--batch 0",
            "--batch 65537",
            "--ring 0",
            "--addr localhost",
            "--workers many",
            "--shutdown-timeout -1",
            "--shutdown-timeout nan",
            "--deflate maybe",
            "--memory 3furlongs",
            "--no-such-flag",
        ] {
            let error = args(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        for line in [
            "--batch 1",
            "--batch 65536",
            "--ring 1",
            "--shutdown-timeout 0",
            "--memory 16MiB",
        ] {
            assert!(args(line).is_ok(), "{line}");
        }
    }
}
