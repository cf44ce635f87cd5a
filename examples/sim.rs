//! A server under simulation: production workers, virtual time, faults from one seed. Run with
//! `cargo run -p hioload-sim --example sim -- 42`.

use hioload_sim::{Suite, plan, run};

fn main() {
    let seed = std::env::args()
        .nth(1)
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(42);
    let plan = plan(seed);
    println!(
        "seed {seed}: {:?} with {} clients",
        plan.scenario, plan.clients
    );
    let outcome = run(Suite::Sessions, seed);
    print!("{}{}", outcome.faults, outcome.events);
    println!(
        "{:.3} virtual seconds, trace {:016x}",
        outcome.seconds, outcome.trace
    );
    match outcome.failure {
        None => println!("everything held"),
        Some(failure) => println!("FAILED: {failure}"),
    }
}
