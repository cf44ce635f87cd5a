//! References: they hold their block, and are bounded.

use super::*;

#[test]
fn references_hold_their_block() {
    let mut rig = rig(config());
    rig.store(1, Class::MIN);
    let call = |only_new| Refer {
        hash: hash(1),
        name: b"name".as_slice().into(),
        value: b"value".as_slice().into(),
        only_new,
    };
    for (only_new, outcome) in [
        (true, Referred::New),
        (true, Referred::Exists),
        (false, Referred::Replaced),
    ] {
        let (id, call) = (rig.id(), Box::new(call(only_new)));
        rig.controller.push(0, Request::Refer { id, call });
        assert_eq!(rig.settle(), [Reply::Referred { id, outcome }]);
    }
    let id = rig.release(1);
    let outcome = Released::Referenced;
    assert_eq!(rig.settle(), [Reply::Released { id, outcome }]);
    let id = rig.id();
    let call = Box::new(Refer {
        hash: hash(2),
        ..call(false)
    });
    rig.controller.push(0, Request::Refer { id, call });
    let outcome = Referred::Missing;
    assert_eq!(rig.settle(), [Reply::Referred { id, outcome }]);
}

#[test]
fn references_of_a_block_are_bounded() {
    let mut rig = rig(ControllerConfig {
        references_max: 2,
        ..config()
    });
    rig.store(1, Class::MIN);
    rig.store(2, Class::MIN);
    for (block, name, only_new, outcome) in [
        (1, b"a", false, Referred::New),
        (1, b"b", true, Referred::New),
        (1, b"c", false, Referred::TooMany),
        (1, b"c", true, Referred::TooMany),
        (1, b"b", false, Referred::Replaced),
        (1, b"b", true, Referred::Exists),
        (2, b"c", false, Referred::New),
    ] {
        let call = Box::new(Refer {
            hash: hash(block),
            name: name.as_slice().into(),
            value: [].into(),
            only_new,
        });
        let id = rig.id();
        rig.controller.push(0, Request::Refer { id, call });
        assert_eq!(rig.settle(), [Reply::Referred { id, outcome }]);
    }
    // A row that cannot be read is replaced.
    let key = [hash(1).as_bytes(), b"a".as_slice()].concat();
    let flip = |row: &mut Vec<u8>| row[4] ^= 1;
    assert!(rig.index.damage(Table::References, &key, flip));
    let call = Box::new(Refer {
        hash: hash(1),
        name: b"a".as_slice().into(),
        value: [].into(),
        only_new: false,
    });
    let (id, outcome) = (rig.id(), Referred::Replaced);
    rig.controller.push(0, Request::Refer { id, call });
    assert_eq!(rig.settle(), [Reply::Referred { id, outcome }]);
}
