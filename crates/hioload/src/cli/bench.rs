//! `hioload bench`: where the report goes.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::exit;
use crate::bench::{self, Options};

/// Runs one of the works over blocks: the others have nothing to do with a store.
pub(crate) fn run_blocks(options: &Options) -> ExitCode {
    if options.work.is_blocks() {
        return run(options);
    }
    exit::usage(&"a store is benched by put, get or mixed. `hioload bench` has the other works")
}

/// Runs a bench and writes its report.
pub(crate) fn run(options: &Options) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    // The server that was started for the run has to be ended, whatever ends the run.
    if let Err(error) = stop_on_signals(&stop) {
        return exit::failure(&format!("cannot watch for signals: {error}"));
    }
    let report = match bench::run(options, &stop) {
        Ok(report) => report,
        Err(error) if error.is_usage => return exit::usage(&error),
        Err(error) => return exit::failure(&error),
    };
    let json = report.to_json();
    let mut stdout = std::io::stdout();
    let written = match &options.json {
        Some(path) if path.as_os_str() == "-" => writeln!(stdout, "{json}"),
        Some(path) => std::fs::write(path, json + "\n").and_then(|()| write!(stdout, "{report}")),
        None => write!(stdout, "{report}"),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&format!("cannot write the report: {error}")),
    }
}

/// SIGINT and SIGTERM set `stop`; the second one ends the process.
pub(super) fn stop_on_signals(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: what the second one finds is what the first one set.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}
