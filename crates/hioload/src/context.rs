//! Typed values that travel with a session: who logged in, which tenant, a trace id.
//!
//! A [`ContextKey`] names a value and its type, so that two crates never read each other's data by
//! accident. A key is *propagated* (it goes along when a context is derived, such as to a session that another
//! one opens) or *local* (it stays). A value may expire. Lives on its worker; no locks.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use hioload_base::Time;

/// Values a context holds at most (64); setting one more is refused.
pub(crate) const VALUES_MAX: usize = 64;

/// Whether a value goes along when a context is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Stays in its context.
    Local,
    /// Is shared with derived contexts.
    Propagated,
}

/// Names a value of type `T`. Make it a constant and share that.
///
/// ```
/// use hioload::{Context, ContextKey, Scope};
/// use hioload_base::Time;
///
/// const USER: ContextKey<String> = ContextKey::new("user", Scope::Propagated);
///
/// let mut context = Context::new();
/// context.set(USER, "ada".to_owned())?;
/// assert_eq!(context.value(USER, Time::ZERO).map(String::as_str), Some("ada"));
/// # Ok::<(), hioload::ContextFull>(())
/// ```
pub struct ContextKey<T> {
    name: &'static str,
    scope: Scope,
    value: PhantomData<fn() -> T>,
}

impl<T> ContextKey<T> {
    /// A key; two keys of one name and type are the same key.
    #[must_use]
    pub const fn new(name: &'static str, scope: Scope) -> Self {
        Self {
            name,
            scope,
            value: PhantomData,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for ContextKey<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ContextKey<T> {}

impl<T> fmt::Debug for ContextKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextKey({}, {:?})", self.name, self.scope)
    }
}

/// A context holds 64 values and this would be one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextFull;

impl fmt::Display for ContextFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a context holds at most {VALUES_MAX} values: delete one, or keep one struct"
        )
    }
}

impl std::error::Error for ContextFull {}

struct Entry {
    value: std::rc::Rc<dyn Any>,
    scope: Scope,
    expires: Option<Time>,
}

impl Entry {
    fn is_live(&self, now: Time) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// The values of one session.
#[derive(Default)]
pub struct Context {
    entries: BTreeMap<(&'static str, std::any::TypeId), Entry>,
}

impl Context {
    /// An empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value that stays until it is deleted.
    ///
    /// # Errors
    /// [`ContextFull`]; nothing changed.
    pub fn set<T: 'static>(&mut self, key: ContextKey<T>, value: T) -> Result<(), ContextFull> {
        self.insert(key, value, None)
    }

    /// Sets a value that is gone `ttl` after `now`.
    ///
    /// # Errors
    /// [`ContextFull`]; nothing changed.
    pub fn set_for<T: 'static>(
        &mut self,
        key: ContextKey<T>,
        value: T,
        now: Time,
        ttl: Duration,
    ) -> Result<(), ContextFull> {
        // What has expired makes room first.
        if self.entries.len() >= VALUES_MAX {
            self.entries.retain(|_, entry| entry.is_live(now));
        }
        self.insert(key, value, Some(now + ttl))
    }

    fn insert<T: 'static>(
        &mut self,
        key: ContextKey<T>,
        value: T,
        expires: Option<Time>,
    ) -> Result<(), ContextFull> {
        let id = (key.name, std::any::TypeId::of::<T>());
        if self.entries.len() >= VALUES_MAX && !self.entries.contains_key(&id) {
            return Err(ContextFull);
        }
        let entry = Entry {
            value: std::rc::Rc::new(value),
            scope: key.scope,
            expires,
        };
        self.entries.insert(id, entry);
        Ok(())
    }

    /// The value, unless it is missing or has expired.
    #[must_use]
    pub fn value<T: 'static>(&self, key: ContextKey<T>, now: Time) -> Option<&T> {
        let entry = self.entries.get(&(key.name, std::any::TypeId::of::<T>()))?;
        if entry.is_live(now) {
            entry.value.downcast_ref()
        } else {
            None
        }
    }

    /// Deletes a value; true when there was one.
    pub fn delete<T: 'static>(&mut self, key: ContextKey<T>) -> bool {
        self.entries
            .remove(&(key.name, std::any::TypeId::of::<T>()))
            .is_some()
    }

    /// The names of what is set and has not expired, in order.
    pub fn keys(&self, now: Time) -> impl Iterator<Item = &'static str> + '_ {
        self.entries
            .iter()
            .filter(move |(_, entry)| entry.is_live(now))
            .map(|(id, _)| id.0)
    }

    /// A context with the propagated values of this one, shared, with their expiry.
    #[must_use]
    pub fn derive(&self, now: Time) -> Self {
        let propagated = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.scope == Scope::Propagated && entry.is_live(now))
            .map(|(id, entry)| {
                let value = std::rc::Rc::clone(&entry.value);
                (
                    *id,
                    Entry {
                        value,
                        scope: entry.scope,
                        expires: entry.expires,
                    },
                )
            });
        Self {
            entries: propagated.collect(),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.entries.keys().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: ContextKey<u32> = ContextKey::new("user", Scope::Propagated);
    const NAME: ContextKey<String> = ContextKey::new("user", Scope::Local);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_type_is_part_of_the_key() {
        let mut context = Context::new();
        context.set(USER, 7).expect("room");
        context.set(NAME, "ada".to_owned()).expect("room");
        assert_eq!(context.value(USER, at(0)), Some(&7));
        assert_eq!(context.value(NAME, at(0)).map(String::as_str), Some("ada"));
        assert!(context.delete(USER) && !context.delete(USER));
        assert_eq!(context.value(USER, at(0)), None);
    }

    #[test]
    fn a_value_expires_on_time() {
        let mut context = Context::new();
        context
            .set_for(USER, 7, at(1), Duration::from_secs(2))
            .expect("room");
        assert_eq!(context.value(USER, at(2)), Some(&7));
        assert_eq!(context.value(USER, at(3)), None);
        assert_eq!(context.keys(at(3)).count(), 0);
    }

    #[test]
    fn only_propagated_values_are_derived() {
        let mut context = Context::new();
        context.set(USER, 7).expect("room");
        context.set(NAME, "ada".to_owned()).expect("room");
        let derived = context.derive(at(0));
        assert_eq!(derived.value(USER, at(0)), Some(&7));
        assert_eq!(derived.value(NAME, at(0)), None);
    }

    #[test]
    fn the_limit_is_refused_and_expiry_makes_room() {
        let mut context = Context::new();
        let names: Vec<&'static str> = (0..=VALUES_MAX)
            .map(|i| &*Box::leak(format!("k{i}").into_boxed_str()))
            .collect();
        for name in &names[..VALUES_MAX] {
            let key = ContextKey::<u32>::new(name, Scope::Local);
            context
                .set_for(key, 1, at(0), Duration::from_secs(1))
                .expect("room");
        }
        let extra = ContextKey::<u32>::new(names[VALUES_MAX], Scope::Local);
        assert_eq!(context.set(extra, 1), Err(ContextFull));
        assert_eq!(
            context.set_for(extra, 1, at(2), Duration::from_secs(1)),
            Ok(())
        );
    }
}
