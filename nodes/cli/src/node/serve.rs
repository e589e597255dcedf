//! A core on its shard, with what the process wants of it: its view for the admin port, its end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use hyperscale_admin::{AdminConfig, AdminServer, ShardLine};
use hyperscale_core::{Core, DatagramPort, Instant};
use hyperscale_reliability::NodeRateLimiter;
use hyperscale_runtime::{Answer, Ask, Causes, CounterValues, LoadBoard, NodeHandle, Shard, ask, clock};
use hyperscale_view::{Gauge, ShardView};

use super::Settings;
use crate::exit::Failure;
use crate::overload;

/// The causes of what a node turned away, once its shards have started.
pub(crate) type CausesSlot = Arc<OnceLock<Arc<Causes>>>;

/// Who knows figures of the node as a whole.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// How loaded it is, if that is measured.
    pub(crate) load: Option<Arc<LoadBoard>>,
    /// How its clients keep to their rates, if it has some.
    pub(crate) rates: Option<NodeRateLimiter>,
}

/// Opens the admin port, with a line to each shard, before the shards start; their ends of the lines. `rates`: of the
/// node's clients, if it has any.
pub(crate) fn admin(
    settings: &Settings,
    causes: &CausesSlot,
    figures: Figures,
) -> Result<(AdminServer, Vec<Answer<ShardView>>), Failure> {
    let (lines, answers): (Vec<Ask<ShardView>>, Vec<_>) = (0..settings.shard_count()).map(|_| ask()).unzip();
    let lines = (0_u16..)
        .zip(lines)
        .map(|(shard, line)| ShardLine::new(shard, move |reply| line.ask(move |view| reply.send(view))));
    let mut config = AdminConfig::new(settings.admin, settings.name.clone(), settings.role.as_str());
    config.datacenter.clone_from(&settings.datacenter);
    config.protocol = hyperscale_codec::ProtocolVersion::CURRENT.to_string();
    config.patient = true;
    let causes = Arc::clone(causes);
    let gauges = move || {
        let known = causes.get().map(|causes| causes.values().collect::<Vec<_>>()).unwrap_or_default();
        let mut gauges = Gauge::counters_by(
            "hyperscale_refused_total",
            "Connections and frames that were turned away, by cause.",
            "cause",
            known,
        );
        gauges.extend(figures.load.as_deref().map(overload::gauges).unwrap_or_default());
        gauges.extend(figures.rates.iter().flat_map(super::intake::client_gauges));
        gauges
    };
    let admin = hyperscale_admin::start(config, lines.collect(), gauges).map_err(Failure::could_not_run)?;
    Ok((admin, answers))
}

/// Keeps a core running on this shard, and answers for it, until the node stops.
pub(crate) async fn serve<C: Core + 'static>(
    shard: &Shard,
    node: NodeHandle<C>,
    answer: Answer<ShardView>,
    view: impl Fn(&C, Instant) -> ShardView + 'static,
) {
    let node = Rc::new(RefCell::new(Some(node)));
    let (looked_at, id) = (Rc::clone(&node), shard.id());
    let counting = shard.clone();
    answer.open(shard, move || match looked_at.borrow().as_ref() {
        Some(node) => {
            let mut view = node.with_core(|core| view(core, clock::now()));
            view.gauges.extend(super::intake::gauges(&node.intake_counts()));
            view.gauges.extend(statistics(&counting.counters().values()));
            if node.datagram_addr(DatagramPort::Membership).is_some() {
                view.gauges.extend(datagrams(&counting.counters().values()));
            }
            view
        }
        None => ShardView::new(id),
    });
    shard.stopping().await;
    let ending = node.borrow_mut().take();
    if let Some(node) = ending {
        node.stop().await;
    }
}

/// Where frames of statistics were handled.
#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
fn statistics(counters: &CounterValues) -> [Gauge; 2] {
    [
        Gauge::counter(
            "hyperscale_stats_frames_total",
            "Frames of statistics handled on the shard where they arrived.",
            counters.stats_frames as f64,
        ),
        Gauge::counter(
            "hyperscale_frames_crossed_total",
            "Frames of statistics that arrived on another shard of this node and crossed to their own.",
            counters.stats_frames_crossed as f64,
        ),
    ]
}

/// What came and went by the ports for datagrams.
#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
fn datagrams(counters: &CounterValues) -> [Gauge; 4] {
    let counted = |name, help, value: u64| Gauge::counter(name, help, value as f64);
    [
        counted(
            "hyperscale_datagrams_received_total",
            "Datagrams of membership and health that came.",
            counters.datagrams_in,
        ),
        counted(
            "hyperscale_datagrams_received_bytes_total",
            "Bytes of the datagrams that came.",
            counters.datagram_bytes_in,
        ),
        counted(
            "hyperscale_datagrams_sent_total",
            "Datagrams that the kernel took to send.",
            counters.datagrams_out,
        ),
        counted(
            "hyperscale_datagrams_sent_bytes_total",
            "Bytes of the datagrams that the kernel took to send.",
            counters.datagram_bytes_out,
        ),
    ]
}
