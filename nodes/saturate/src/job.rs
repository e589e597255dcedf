//! A job of the driver's own: its clients submit it, its managers take it and tell made-up figures of it; or its gate
//! gives it to a manager, and its workers do.

use std::collections::BTreeMap;

use hyperscale_codec::JobId;
use hyperscale_codec::messages::{JobState, JobSubmit};
use hyperscale_core::Instant;
use sha2::{Digest as _, Sha256};

use crate::figures::Weights;
use crate::heard::Heard;
use crate::share::Share;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Submitted.
    New,
    /// Its part was taken on.
    Running,
    /// Its last figures are on their way.
    Ending,
}

/// One job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) manager: usize,
    pub(crate) client: usize,
    /// Load is about it; else it is the load.
    pub(crate) is_long: bool,
    pub(crate) stage: Stage,
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    /// The client is told of its end.
    pub(crate) followed: bool,
    /// Windows told, by their number mod the variants.
    pub(crate) windows: Weights,
    /// Those of them that were told as windows, not in snapshots alone.
    pub(crate) in_updates: Weights,
    /// Windows recorded and not told yet.
    pub(crate) pending: u32,
    pub(crate) next_window: u32,
    pub(crate) updates: u64,
    pub(crate) snapshots: u64,
    /// What the gate asked for last.
    pub(crate) level: u8,
    pub(crate) not_before: Instant,
    /// Before this it sends no more snapshots that the gate wants.
    pub(crate) asked_again: Instant,
    pub(crate) outcome: JobState,
    /// Requests of all windows, as the gate showed them before the end.
    pub(crate) viewed: Option<u64>,
    pub(crate) submit: JobSubmit,
    /// At a manager: what each player that is a worker has of it, and what the gate was told.
    pub(crate) shares: BTreeMap<usize, Share>,
    pub(crate) heard: Heard,
    /// Its end was asked for.
    pub(crate) cancelled: bool,
}

impl Job {
    pub(crate) fn new(id: JobId, manager: usize, client: usize, is_long: bool, submit: JobSubmit) -> Self {
        debug_assert_eq!(submit.idempotency, id.to_bytes());
        Self {
            manager,
            client,
            is_long,
            stage: Stage::New,
            token: 0,
            attempt: 1,
            followed: submit.follow,
            windows: [0; crate::figures::VARIANTS],
            in_updates: [0; crate::figures::VARIANTS],
            pending: 0,
            next_window: 0,
            updates: 0,
            snapshots: 0,
            level: 0,
            not_before: Instant::ZERO,
            asked_again: Instant::ZERO,
            outcome: JobState::Completed,
            viewed: None,
            submit,
            shares: BTreeMap::new(),
            heard: Heard::default(),
            cancelled: false,
        }
    }

    /// Takes the pending windows as told; their first and last number.
    pub(crate) fn tell_pending(&mut self) -> (u32, u32, Weights) {
        let from = self.next_window;
        let mut told = [0; crate::figures::VARIANTS];
        for _ in 0..self.pending.max(1) {
            let variant = usize::try_from(self.next_window).unwrap_or(0) % told.len();
            for windows in [&mut told, &mut self.windows] {
                if let Some(count) = windows.get_mut(variant) {
                    *count += 1;
                }
            }
            self.next_window = self.next_window.saturating_add(1);
        }
        self.pending = 0;
        (from, self.next_window.saturating_sub(1), told)
    }
}

/// Windows that a sender merges into one message at a level.
pub(crate) const fn windows_at(level: u8) -> u32 {
    match level {
        0 => 1,
        1 => 2,
        2 => 5,
        _ => 10,
    }
}

/// A plan that nobody runs: only the driver's own manager is of this datacenter.
pub(crate) fn submit(id: JobId, datacenter: &str, steps: u16, workers: usize, follow: bool) -> JobSubmit {
    let steps: Vec<String> = (0..steps).map(|step| format!("{{ get = \"/{step}\" }}")).collect();
    let plan = format!(
        "name = \"saturate\"\ntarget = \"http://127.0.0.1:9\"\n[placement]\ndatacenters = [\"{datacenter}\"]\n\
         [workflows.load]\nvus = {}\nduration = \"24h\"\nsteps = [{}]\n",
        workers.max(1),
        steps.join(", ")
    );
    JobSubmit {
        plan_sha256: Sha256::digest(plan.as_bytes()).into(),
        plan,
        idempotency: id.to_bytes(),
        follow,
        histograms: false,
    }
}
