//! The memory plan: everything that can take memory, as count times size, added up before the start.
//!
//! Must not know the owners; they add their lines. Sums saturate: a plan that overflows fits no machine.

use std::fmt;

use crate::machine::Machine;

/// Lines of memory and their sum.
///
/// ```
/// use hioload_mem::{Machine, Plan};
///
/// let plan = Plan::new()
///     .line("mem", "buffers of 2 workers", 2, 64 << 20)
///     .line("ws", "connections", 10_000, 320);
/// assert_eq!(plan.total(), 2 * (64 << 20) + 10_000 * 320);
/// println!("{plan}");
/// if let Err(refusal) = plan.check(&Machine::detect()) {
///     eprintln!("{refusal}");
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    lines: Vec<PlanLine>,
}

/// One owner's memory of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanLine {
    /// The room or service.
    pub owner: String,
    /// What the memory is.
    pub what: String,
    /// How many there are at most.
    pub count: u64,
    /// Bytes of one.
    pub unit_size: u64,
}

impl PlanLine {
    /// Bytes of all; saturates.
    pub fn size(&self) -> u64 {
        self.count.saturating_mul(self.unit_size)
    }
}

impl Plan {
    /// A plan without lines.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Adds `count` things of `unit_size` bytes.
    #[must_use]
    pub fn line(mut self, owner: &str, what: &str, count: u64, unit_size: u64) -> Plan {
        let (owner, what) = (owner.to_owned(), what.to_owned());
        self.lines.push(PlanLine {
            owner,
            what,
            count,
            unit_size,
        });
        self
    }

    /// The lines in the order they were added.
    pub fn lines(&self) -> &[PlanLine] {
        &self.lines
    }

    /// Bytes of all lines; saturates.
    pub fn total(&self) -> u64 {
        self.lines
            .iter()
            .fold(0, |sum, line| sum.saturating_add(line.size()))
    }

    /// Whether the machine can give what the plan says.
    ///
    /// # Errors
    ///
    /// A [`PlanError`] whose text says what is missing, why and what to do.
    pub fn check(&self, machine: &Machine) -> Result<(), PlanError> {
        if self.total() <= machine.memory_available {
            return Ok(());
        }
        let largest = self.lines.iter().max_by_key(|line| line.size()).cloned();
        Err(PlanError {
            total: self.total(),
            machine: machine.clone(),
            largest,
        })
    }
}

impl fmt::Display for Plan {
    /// A table: owner, what, count, size of one, size of all; the sum in the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: [&str; 5] = ["owner", "what", "count", "each", "total"];
        let row = |line: &PlanLine| {
            let (each, all) = (short(line.unit_size), short(line.size()));
            [
                line.owner.clone(),
                line.what.clone(),
                line.count.to_string(),
                each,
                all,
            ]
        };
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.lines.iter().map(row));
        let none = String::new;
        rows.push([
            none(),
            "sum".to_owned(),
            none(),
            none(),
            short(self.total()),
        ]);
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        for [owner, what, count, each, all] in &rows {
            let [w0, w1, w2, w3, w4] = widths;
            writeln!(
                f,
                "{owner:<w0$}  {what:<w1$}  {count:>w2$}  {each:>w3$}  {all:>w4$}"
            )?;
        }
        Ok(())
    }
}

/// A size to read, rounded to a tenth of its unit.
fn short(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog2() / 10;
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!(
        "{}.{} {}",
        tenths / 10,
        tenths % 10,
        UNITS[power as usize - 1]
    )
}

/// The machine has less memory than the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    total: u64,
    machine: Machine,
    largest: Option<PlanLine>,
}

impl PlanError {
    /// Bytes that are missing.
    pub fn missing(&self) -> u64 {
        self.total - self.machine.memory_available
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            memory_available,
            bound_by,
        } = &self.machine;
        write!(
            f,
            "the memory plan needs {} but {} is available ({bound_by})",
            short(self.total),
            short(*memory_available)
        )?;
        if let Some(line) = &self.largest {
            write!(
                f,
                "; the largest line is {}: {}, {}",
                line.owner,
                line.what,
                short(line.size())
            )?;
        }
        write!(
            f,
            ": lower its limit, run fewer workers, or give the process {} more",
            short(self.missing())
        )
    }
}

impl std::error::Error for PlanError {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn machine(memory_available: u64) -> Machine {
        Machine {
            memory_available,
            bound_by: "a test".to_owned(),
        }
    }

    #[test]
    fn fits_exactly_and_not_with_one_byte_less() {
        let plan = Plan::new().line("a", "x", 3, 100).line("b", "y", 1, 50);
        assert_eq!(plan.total(), 350);
        assert_eq!(plan.check(&machine(350)), Ok(()));
        let error = plan.check(&machine(349)).expect_err("a byte short");
        assert_eq!(error.missing(), 1);
        assert_eq!(
            error.to_string(),
            "the memory plan needs 350 B but 349 B is available (a test); the largest line is a: x, 300 B: lower its limit, \
             run fewer workers, or give the process 1 B more"
        );
    }

    #[test]
    fn nothing_needs_nothing() {
        assert_eq!(Plan::new().total(), 0);
        assert_eq!(Plan::new().check(&machine(0)), Ok(()));
        assert_eq!(Plan::new().line("a", "none", 0, u64::MAX).total(), 0);
    }

    #[test]
    fn sums_saturate_and_fit_nowhere() {
        let plan = Plan::new().line("a", "x", u64::MAX, 2).line("b", "y", 1, 1);
        assert_eq!(plan.total(), u64::MAX);
        assert!(plan.check(&machine(u64::MAX - 1)).is_err());
        assert!(plan.to_string().contains("15.9 EiB"), "{plan}");
    }

    #[test]
    fn reads_as_a_table() {
        let plan =
            Plan::new()
                .line("mem", "buffers", 2, 64 << 20)
                .line("ws", "connections", 10_000, 320);
        let expected = "\
owner  what         count      each      total
mem    buffers          2  64.0 MiB  128.0 MiB
ws     connections  10000     320 B    3.0 MiB
       sum                           131.0 MiB
";
        assert_eq!(plan.to_string(), expected);
    }

    #[test]
    fn sizes_at_the_borders_of_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
        ] {
            assert_eq!(short(bytes), text);
        }
    }
}
