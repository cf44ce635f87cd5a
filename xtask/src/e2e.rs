//! Foreign clients against the server: Python's `websockets`, `requests`, `httpx` and `h2`, curl, nghttp, OpenSSL and,
//! when asked for, Chromium speak to `hioload`.

use std::process::Command;

use crate::args::Args;
use crate::process::{beside, command, hioload, run_one_of, shown, status};
use crate::python;
use crate::stop::{Outcome, SKIPPED_CODE, Stop};

/// What is run: each is told the binary and the driver.
const SCRIPTS: &[&str] = &[
    "e2e/websockets_client.py",
    "e2e/blocks_client.py",
    "e2e/tls_client.py",
    "e2e/h2_client.py",
    "e2e/h2_hostile.py",
    "e2e/events_client.py",
];

/// The one that is run when asked for: its environment is large, and a browser has to be there.
const BROWSER: &str = "e2e/browser/browser_client.py";

/// Runs the scripts on one driver or both.
pub(crate) fn run(mut args: Args) -> Outcome {
    let driver = args.value("--driver")?;
    let binary = args.value("--hioload")?;
    let is_browser = args.flag("--browser");
    args.finish()?;
    let (name, requirements, scripts) = if is_browser {
        ("browser", "e2e/browser/requirements.txt", &[BROWSER][..])
    } else {
        ("e2e", "e2e/requirements.txt", SCRIPTS)
    };
    let python = python::python3(name, requirements)?;
    let binary = hioload(binary)?;
    let drivers = driver.map_or_else(
        || vec!["uring".to_owned(), "poll".to_owned()],
        |one| vec![one],
    );
    let lane = |driver: &String| {
        scripts.iter().try_for_each(|script| {
            let mut command = command(python.join("bin/python"));
            command.arg(script).arg("--hioload").arg(&binary);
            run_script(script, command.args(["--driver", driver]), drivers.len())
        })
    };
    // Most of them wait most of the time.
    beside(&drivers, lane).into_iter().collect()
}

fn run_script(script: &str, command: &mut Command, count: usize) -> Outcome {
    if script != BROWSER {
        return run_one_of(count, command);
    }
    match status(command)?.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(SKIPPED_CODE) => {
            Err(Stop::Skipped("there is no browser".to_owned()))
        }
        _ => Err(Stop::Failed(shown(command))),
    }
}
