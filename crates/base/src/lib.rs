//! Ids, slab, units, time, timer wheel, batch and PRNG: plain values, no I/O, no clock.
