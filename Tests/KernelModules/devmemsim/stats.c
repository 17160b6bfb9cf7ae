// SPDX-License-Identifier: GPL-2.0
#include <linux/ethtool.h>

#include "devmemsim.h"

void dms_stats_init(struct dms_priv *priv)
{
	for (int i = 0; i < DMS_MAX_QUEUES; i++) {
		u64_stats_init(&priv->rxq[i].stats.syncp);
		u64_stats_init(&priv->txq[i].stats.syncp);
	}
}

/* One consistent look at the counters of a queue. */
#define dms_read(from, body)						\
	do {								\
		unsigned int start;					\
									\
		do {							\
			start = u64_stats_fetch_begin(&(from)->syncp);	\
			body;						\
		} while (u64_stats_fetch_retry(&(from)->syncp, start));	\
	} while (0)

static void dms_get_queue_stats_rx(struct net_device *dev, int idx,
				   struct netdev_queue_stats_rx *stats)
{
	struct dms_priv *priv = netdev_priv(dev);
	struct dms_rx_stats *from = &priv->rxq[idx].stats;

	dms_read(from, {
		stats->packets = u64_stats_read(&from->packets);
		stats->bytes = u64_stats_read(&from->bytes);
		stats->alloc_fail = u64_stats_read(&from->alloc_fail);
		stats->hw_drops = u64_stats_read(&from->drops);
		stats->csum_unnecessary = u64_stats_read(&from->csum_unnecessary);
		stats->csum_none = u64_stats_read(&from->csum_none);
		stats->csum_bad = u64_stats_read(&from->csum_bad);
	});
}

static void dms_get_queue_stats_tx(struct net_device *dev, int idx,
				   struct netdev_queue_stats_tx *stats)
{
	struct dms_priv *priv = netdev_priv(dev);
	struct dms_tx_stats *from = &priv->txq[idx].stats;

	dms_read(from, {
		stats->packets = u64_stats_read(&from->packets);
		stats->bytes = u64_stats_read(&from->bytes);
		stats->hw_drops = u64_stats_read(&from->drops);
		stats->needs_csum = u64_stats_read(&from->needs_csum);
		stats->hw_gso_packets = u64_stats_read(&from->gso_packets);
		stats->hw_gso_bytes = u64_stats_read(&from->gso_bytes);
		stats->hw_gso_wire_packets = u64_stats_read(&from->gso_wire_packets);
		stats->stop = u64_stats_read(&from->stop);
		stats->wake = u64_stats_read(&from->wake);
	});
}

/* What queues have counted that are not there at present. */
static void dms_get_base_stats(struct net_device *dev, struct netdev_queue_stats_rx *rx,
			       struct netdev_queue_stats_tx *tx)
{
	struct netdev_queue_stats_rx rx_queue;
	struct netdev_queue_stats_tx tx_queue;

	rx->packets = rx->bytes = rx->alloc_fail = rx->hw_drops = 0;
	rx->csum_unnecessary = rx->csum_none = rx->csum_bad = 0;
	for (int i = dev->real_num_rx_queues; i < DMS_MAX_QUEUES; i++) {
		dms_get_queue_stats_rx(dev, i, &rx_queue);
		rx->packets += rx_queue.packets;
		rx->bytes += rx_queue.bytes;
		rx->alloc_fail += rx_queue.alloc_fail;
		rx->hw_drops += rx_queue.hw_drops;
		rx->csum_unnecessary += rx_queue.csum_unnecessary;
		rx->csum_none += rx_queue.csum_none;
		rx->csum_bad += rx_queue.csum_bad;
	}
	tx->packets = tx->bytes = tx->hw_drops = tx->needs_csum = 0;
	tx->hw_gso_packets = tx->hw_gso_bytes = tx->hw_gso_wire_packets = 0;
	tx->stop = tx->wake = 0;
	for (int i = dev->real_num_tx_queues; i < DMS_MAX_QUEUES; i++) {
		dms_get_queue_stats_tx(dev, i, &tx_queue);
		tx->packets += tx_queue.packets;
		tx->bytes += tx_queue.bytes;
		tx->hw_drops += tx_queue.hw_drops;
		tx->needs_csum += tx_queue.needs_csum;
		tx->hw_gso_packets += tx_queue.hw_gso_packets;
		tx->hw_gso_bytes += tx_queue.hw_gso_bytes;
		tx->hw_gso_wire_packets += tx_queue.hw_gso_wire_packets;
		tx->stop += tx_queue.stop;
		tx->wake += tx_queue.wake;
	}
}

const struct netdev_stat_ops dms_stat_ops = {
	.get_queue_stats_rx	= dms_get_queue_stats_rx,
	.get_queue_stats_tx	= dms_get_queue_stats_tx,
	.get_base_stats		= dms_get_base_stats,
};

void dms_get_stats64(struct net_device *dev, struct rtnl_link_stats64 *total)
{
	struct netdev_queue_stats_rx rx;
	struct netdev_queue_stats_tx tx;

	for (int i = 0; i < DMS_MAX_QUEUES; i++) {
		dms_get_queue_stats_rx(dev, i, &rx);
		dms_get_queue_stats_tx(dev, i, &tx);
		total->rx_packets += rx.packets;
		total->rx_bytes += rx.bytes;
		total->rx_dropped += rx.hw_drops;
		total->tx_packets += tx.packets;
		total->tx_bytes += tx.bytes;
		total->tx_dropped += tx.hw_drops;
	}
}

/* ethtool -S, with what the generic counters have no name for. */
static const char * const dms_rx_names[] = {
	"packets", "bytes", "alloc_fail", "drops", "split", "unreadable",
};

static const char * const dms_tx_names[] = {
	"packets", "bytes", "drops", "netmem",
};

int dms_get_sset_count(struct net_device *dev, int set)
{
	if (set != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return dev->real_num_rx_queues * ARRAY_SIZE(dms_rx_names) +
	       dev->real_num_tx_queues * ARRAY_SIZE(dms_tx_names);
}

void dms_get_strings(struct net_device *dev, u32 set, u8 *data)
{
	if (set != ETH_SS_STATS)
		return;
	for (int i = 0; i < dev->real_num_rx_queues; i++)
		for (int n = 0; n < ARRAY_SIZE(dms_rx_names); n++)
			ethtool_sprintf(&data, "rx%d_%s", i, dms_rx_names[n]);
	for (int i = 0; i < dev->real_num_tx_queues; i++)
		for (int n = 0; n < ARRAY_SIZE(dms_tx_names); n++)
			ethtool_sprintf(&data, "tx%d_%s", i, dms_tx_names[n]);
}

void dms_get_ethtool_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	struct dms_priv *priv = netdev_priv(dev);

	for (int i = 0; i < dev->real_num_rx_queues; i++) {
		struct dms_rx_stats *from = &priv->rxq[i].stats;

		dms_read(from, {
			data[0] = u64_stats_read(&from->packets);
			data[1] = u64_stats_read(&from->bytes);
			data[2] = u64_stats_read(&from->alloc_fail);
			data[3] = u64_stats_read(&from->drops);
			data[4] = u64_stats_read(&from->split);
			data[5] = u64_stats_read(&from->unreadable);
		});
		data += ARRAY_SIZE(dms_rx_names);
	}
	for (int i = 0; i < dev->real_num_tx_queues; i++) {
		struct dms_tx_stats *from = &priv->txq[i].stats;

		dms_read(from, {
			data[0] = u64_stats_read(&from->packets);
			data[1] = u64_stats_read(&from->bytes);
			data[2] = u64_stats_read(&from->drops);
			data[3] = u64_stats_read(&from->netmem);
		});
		data += ARRAY_SIZE(dms_tx_names);
	}
}
