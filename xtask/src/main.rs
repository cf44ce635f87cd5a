//! One door for every task of the project: `cargo xtask <task>`.
//!
//! Tasks know the project from outside: its manifests, its sources as text, its binaries as
//! processes. They must not link any room of the product.
//!
//! Exit codes: 0 passed, 1 failed, 2 wrong command line, 77 could not run on this machine (said
//! loudly, never silently passed).

#![forbid(unsafe_code)]

mod args;
mod bench;
mod ci;
mod conform;
mod e2e;
mod fuzz;
mod loom;
mod process;
mod python;
mod sim;
mod stop;
mod tidy;
mod torture;

use std::process::ExitCode;

use args::Args;
use process::cargo;
use stop::{Outcome, Stop};

const HELP: &str = "\
cargo xtask <task> [options]

  ci       all gates, one after the other   [--skip GATE]... [--only GATE]... [--list]
  test     every test of the workspace      [arguments of cargo test]
  fmt      formatting                       [--write]
  lint     clippy, warnings denied
  tidy     house rules that no compiler checks
  docs     rustdoc, warnings denied
  loom     rings and pools under the loom model checker
  sim      simulation from seeds            [sessions|store|streams] [--seeds N] [--from SEED]
  torture  kill -9 under load, again and again   [--kills N] [--driver uring|poll]
  fuzz     libFuzzer targets                [TARGET]... [--seconds N] [--seed N] [--list]
  e2e      foreign clients (Python, curl, nghttp) against the server   [--driver uring|poll] [--browser]
  conform  Autobahn against server and client; see `cargo xtask conform --help`
  bench    our servers beside their peers; see `cargo xtask bench --help`

Tasks that drive the product's binary take --hioload PATH to use one that is built already.
";

fn main() -> ExitCode {
    let mut args = Args::from_env();
    let task = args.positional();
    let outcome = match task.as_deref() {
        Some("ci") => ci::run(args),
        Some("test") => test(args),
        Some("fmt") => fmt(args),
        Some("lint") => lint(args),
        Some("tidy") => tidy::run(args),
        Some("docs") => docs(args),
        Some("loom") => loom::run(args),
        Some("sim") => sim::run(args),
        Some("fuzz") => fuzz::run(args),
        Some("e2e") => e2e::run(args),
        Some("torture") => torture::run(args),
        Some("conform") => conform::run(args),
        Some("bench") => bench::run(args),
        None | Some("help") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(Stop::Usage(format!("unknown task {other}\n\n{HELP}"))),
    };
    stop::report(outcome)
}

fn test(args: Args) -> Outcome {
    process::run(cargo().args(["test", "--workspace"]).args(args.rest()))
}

fn fmt(mut args: Args) -> Outcome {
    let write = args.flag("--write");
    args.finish()?;
    let check: &[&str] = if write { &[] } else { &["--check"] };
    process::run(cargo().args(["fmt", "--all"]).args(check))?;
    for apart in ["fuzz/Cargo.toml", "conformance/httpwg/Cargo.toml"] {
        process::run(cargo().args(["fmt", "--manifest-path", apart]).args(check))?;
    }
    Ok(())
}

fn lint(args: Args) -> Outcome {
    args.finish()?;
    process::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn docs(args: Args) -> Outcome {
    args.finish()?;
    process::run(
        cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}
