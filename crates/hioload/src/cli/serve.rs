//! `hioload serve` and `hioload echo`: settings to a running server, signals to its end.
//!
//! ```text
//!  file, environment, flags ─▶ ServerBuilder ─▶ bound ─▶ "listening on ADDR" ─▶ run ─▶ exit 0
//!                                                │  SIGHUP: Control::reload
//!                                                │  SIGINT, SIGTERM: shutdown; a second one exits at once
//!                                                └─ admin listener, from start to end
//! ```

use std::io::Write as _;
use std::process::ExitCode;

use hioload::admin::Admin;
use hioload::config::{Driver, Level, ServerConfig};
use hioload::layer::Logging;
use hioload::{Broadcast, Control, Echo, ReloadError, Server, ServerBuilder};
use hioload_control::{Config, KeyChange, Report};
use serde_json::json;

use super::flags::{ServeArgs, environment};
use super::log::Log;
use super::{descriptors, exit};

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Sends it to everybody else.
    Broadcast,
    /// Sends it back.
    Echo,
}

/// Serves until a signal ends it.
pub(crate) fn run(args: &ServeArgs, service: Service) -> ExitCode {
    let config = match args.load(environment()) {
        Ok(config) => config,
        Err(error) => return exit::misconfigured(&error),
    };
    let settings = config.current();
    let log = Log::start(settings.log.level);
    descriptors::raise();
    let server = match builder(&config, service).build() {
        Ok(server) => server,
        Err(error) => return exit::usage(&error),
    };
    let control = server.control();
    let admin = settings
        .admin
        .addr
        .0
        .map(|addr| Admin::start(addr, control.clone()));
    let admin = match admin.transpose() {
        Ok(admin) => admin,
        Err(error) => return exit::usage(&error),
    };
    register_probes(&control);
    if let Err(error) = watch_signals(control, log) {
        return exit::failure(&format!("cannot watch for signals: {error}"));
    }
    tell(&server, &settings, admin.as_ref());
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}

fn builder(config: &Config<ServerConfig>, service: Service) -> ServerBuilder {
    let mut builder = Server::builder().config(config);
    if config.current().log.level >= Level::Debug {
        builder = builder.layer(Logging);
    }
    match service {
        Service::Broadcast => builder.handler(|_| Broadcast::default()),
        Service::Echo => builder.store(None).handler(|_| Echo),
    }
}

/// What somebody who debugs asks for first.
fn register_probes(control: &Control) {
    let connections = control.clone();
    let messages = control.clone();
    let plan = control.clone();
    let taken = "invariant: nobody else has registered probes yet";
    control
        .register_probe("connections", move || {
            json!(connections.totals().connections)
        })
        .expect(taken);
    control
        .register_probe("total_messages", move || {
            json!(messages.totals().messages_received)
        })
        .expect(taken);
    control
        .register_probe("memory_plan", move || plan.plan().to_json())
        .expect(taken);
}

/// Says what runs where: to people in the log, to programs on stdout.
fn tell(server: &Server, settings: &ServerConfig, admin: Option<&Admin>) {
    let control = server.control();
    let why = match settings.server.driver {
        Driver::Auto if control.driver().to_string() == "uring" => "io_uring works here",
        Driver::Auto => "io_uring is refused, see above",
        Driver::Uring | Driver::Poll => "as configured",
    };
    tracing::info!(
        "listening on {} with {} workers; driver {} ({why}); at most {} MiB of memory",
        server.local_addr(),
        control.workers(),
        control.driver(),
        control.plan().total_size().div_ceil(1 << 20),
    );
    match admin {
        Some(admin) => tracing::info!("admin listener on http://{}/", admin.local_addr()),
        None => tracing::info!("admin listener off"),
    }
    // Programs read the port from here. A closed stdout is their choice.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "listening on {}", server.local_addr()).and_then(|()| stdout.flush());
}

/// SIGINT and SIGTERM end the server in good order, the second one ends the process; SIGHUP reloads.
#[cfg(unix)]
fn watch_signals(control: Control, log: Log) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let watch = move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => reload(&control, &log),
                _ if is_ending => std::process::exit(128 + signal),
                _ => {
                    tracing::info!("shutting down; the same signal again ends the process at once");
                    is_ending = true;
                    control.shutdown();
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
fn watch_signals(_: Control, _: Log) -> std::io::Result<()> {
    Ok(())
}

/// Reads the configuration again and says what became of each key.
fn reload(control: &Control, log: &Log) {
    match control.reload() {
        Ok(report) => {
            if let Some(config) = control.config() {
                log.set(config.current().log.level);
            }
            log_report(&report);
        }
        Err(ReloadError::Refused(error)) => {
            tracing::error!("the configuration is refused and nothing has changed:");
            for problem in error.problems() {
                tracing::error!("{problem}");
            }
        }
        Err(error) => tracing::error!("{error}"),
    }
}

fn log_report(report: &Report) {
    let mut unchanged = 0;
    for key in &report.keys {
        let (name, origin) = (&key.key, &key.origin);
        match &key.change {
            KeyChange::Unchanged => {
                unchanged += 1;
                tracing::debug!("{name}: unchanged");
            }
            KeyChange::Applied { old, new, to } => {
                let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
                tracing::info!("{name}: applied{to}, {old} -> {new} ({origin})");
            }
            KeyChange::NeedsRestart {
                running,
                wanted,
                reason,
            } => {
                tracing::warn!("{name}: needs restart, {running} -> {wanted} ({origin}): {reason}");
            }
        }
    }
    tracing::info!(
        "configuration {} in effect; {unchanged} settings unchanged",
        report.version
    );
}
