//! The slab against a map: every answer equal after every step.

use hioload_base::{Full, Key, Slab};
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Step {
    Insert(u16),
    /// Remove one of the keys ever given out, stale ones included.
    Remove(prop::sample::Index),
    Change(prop::sample::Index, u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u16>().prop_map(Step::Insert),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => (any::<prop::sample::Index>(), any::<u16>()).prop_map(|(key, n)| Step::Change(key, n)),
    ]
}

proptest! {
    #[test]
    fn answers_as_a_map_does(
        limit in prop_oneof![0usize..4, 250usize..260, Just(1000)],
        steps in prop::collection::vec(step(), 0..900),
    ) {
        let mut slab = Slab::with_limit(limit);
        let mut map = HashMap::new();
        let mut given: Vec<Key> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(value) => {
                    let expected = slab.vacant_key();
                    match slab.insert(value) {
                        Ok(key) => {
                            prop_assert_eq!(expected, Some(key));
                            prop_assert_ne!(key.to_bits(), 0);
                            prop_assert!(key.index() < slab.slot_count());
                            prop_assert_eq!(map.insert(key, value), None, "a key is given out once");
                            given.push(key);
                        }
                        Err(Full(back)) => {
                            prop_assert_eq!((back, map.len(), expected), (value, limit, None));
                        }
                    }
                }
                Step::Remove(pick) if !given.is_empty() => {
                    let key = *pick.get(&given);
                    prop_assert_eq!(slab.remove(key), map.remove(&key));
                    prop_assert_eq!(slab.get(key), None);
                }
                Step::Change(pick, value) if !given.is_empty() => {
                    let key = *pick.get(&given);
                    prop_assert_eq!(slab.get(key), map.get(&key));
                    prop_assert_eq!(slab.get_mut(key).is_some(), map.contains_key(&key));
                    if let Some(entry) = slab.get_mut(key) {
                        *entry = value;
                        map.insert(key, value);
                    }
                }
                Step::Remove(_) | Step::Change(..) => {}
            }
            prop_assert_eq!((slab.len(), slab.is_empty()), (map.len(), map.is_empty()));
        }
        check_scans(&mut slab, &map)?;
    }
}

fn check_scans(slab: &mut Slab<u16>, map: &HashMap<Key, u16>) -> Result<(), TestCaseError> {
    let mut expected: Vec<(Key, u16)> = map.iter().map(|(key, value)| (*key, *value)).collect();
    expected.sort_by_key(|(key, _)| key.index());
    prop_assert_eq!(slab.iter().len(), expected.len());
    let seen: Vec<_> = slab.iter().map(|(key, value)| (key, *value)).collect();
    prop_assert_eq!(&seen, &expected);
    let seen: Vec<_> = slab.iter_mut().map(|(key, value)| (key, *value)).collect();
    prop_assert_eq!(&seen, &expected);
    let scanned: Vec<_> = (0..slab.slot_count())
        .filter_map(|index| slab.key_at(index))
        .collect();
    prop_assert_eq!(
        scanned,
        expected.iter().map(|(key, _)| *key).collect::<Vec<_>>()
    );
    Ok(())
}
