//! Who a node is: an id that its data folder keeps, and how often it was started.

use std::io::Write as _;
use std::path::Path;

use hyperscale_codec::NodeId;
use hyperscale_core::WallClock;
use hyperscale_fleet::Identity;
use hyperscale_runtime::entropy;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::exit::Failure;

/// What the folder keeps.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    id: String,
    boot: u64,
}

/// Holds the folder for this process; another node on it is refused.
#[derive(Debug)]
pub(crate) struct Folder {
    _lock: std::fs::File,
}

/// The node's name tag, as far as it is known before it listens; and its folder, held.
pub(crate) fn identity(settings: &Settings, wall: WallClock) -> Result<(Identity, Option<Folder>), Failure> {
    let (node, boot, folder) = match &settings.data_dir {
        Some(path) => kept(path)?,
        // A new id: whatever this name was before is another node.
        None => (NodeId(entropy::unique().map_err(Failure::could_not_run)?), wall.unix_ms / 1_000, None),
    };
    let identity = Identity {
        datacenter: settings.datacenter.clone(),
        boot: boot & 0xffff_ffff,
        shards: settings.shard_count(),
        ..Identity::new(settings.role, node, settings.name.clone())
    };
    Ok((identity, folder))
}

fn kept(path: &Path) -> Result<(NodeId, u64, Option<Folder>), Failure> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Failure::could_not_run(format!("data folder {}: {what}: {error}", path.display()))
    };
    std::fs::create_dir_all(path).map_err(|error| failed("cannot be made", &error))?;
    let lock =
        std::fs::File::create(path.join("lock")).map_err(|error| failed("cannot be written to", &error))?;
    lock.try_lock().map_err(|error| {
        failed("another node runs on it", &format!("{error}; give each node a --data-dir of its own"))
    })?;
    let file = path.join("identity.json");
    let mut kept = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice::<Kept>(&bytes).map_err(|error| {
            failed("identity.json cannot be read", &format!("{error}; remove it for a new id"))
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Kept { id: format!("{:032x}", entropy::unique().map_err(Failure::could_not_run)?), boot: 0 }
        }
        Err(error) => return Err(failed("identity.json", &error)),
    };
    let node = u128::from_str_radix(&kept.id, 16)
        .map_err(|error| failed("identity.json has no id", &format!("{error}; remove it for a new one")))?;
    kept.boot = kept.boot.saturating_add(1);
    write(&file, &kept).map_err(|error| failed("identity.json cannot be written", &error))?;
    Ok((NodeId(node), kept.boot, Some(Folder { _lock: lock })))
}

/// Beside, then in its place: a crash leaves the old one.
fn write(file: &Path, kept: &Kept) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut out = std::fs::File::create(&beside)?;
    out.write_all(&serde_json::to_vec(kept)?)?;
    out.sync_all()?;
    std::fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_the_id_counts_the_starts_and_holds_one_node() {
        let folder = tempfile::tempdir().unwrap();
        let (first, boot, held) = kept(folder.path()).unwrap();
        assert!(kept(folder.path()).is_err(), "two nodes on one folder");
        drop(held);
        let (second, next, _held) = kept(folder.path()).unwrap();
        assert_eq!((first, boot + 1), (second, next));
    }
}
