// SPDX-License-Identifier: GPL-2.0
#include <linux/etherdevice.h>
#include <linux/rtnetlink.h>
#include <net/netdev_lock.h>

#include "devmemsim.h"

/* The transmit ring is full at tx_pending frames, and opens again at half of it. */
static bool dms_tx_ring_full(const struct dms_priv *priv, const struct dms_txq *txq)
{
	return atomic_read(&txq->in_flight) >= READ_ONCE(priv->tx_pending);
}

/* Gives a frame back to its sender. */
static void dms_tx_free(struct sk_buff *skb, int budget)
{
	struct dms_priv *priv = netdev_priv(skb->dev);
	u16 index = skb_get_queue_mapping(skb);
	struct dms_txq *txq = &priv->txq[index];
	struct netdev_queue *queue = netdev_get_tx_queue(priv->dev, index);

	/* Full barrier: pairs with the one in dms_start_xmit(). */
	if (atomic_dec_return(&txq->in_flight) <= READ_ONCE(priv->tx_pending) / 2 &&
	    netif_tx_queue_stopped(queue) && netif_running(priv->dev))
		netif_tx_wake_queue(queue);
	napi_consume_skb(skb, budget);
}

/* The frame has been read; in NAPI of the receiver, or with budget 0 elsewhere. */
void dms_tx_complete(struct sk_buff *skb, int budget)
{
	struct dms_priv *priv = netdev_priv(skb->dev);
	u32 delay = READ_ONCE(priv->faults.tx_completion_delay_ms);

	if (likely(!delay && skb_queue_empty_lockless(&priv->late))) {
		dms_tx_free(skb, budget);
		return;
	}
	DMS_CB(skb)->due = jiffies + msecs_to_jiffies(delay);
	skb_queue_tail(&priv->late, skb);
	queue_delayed_work(system_percpu_wq, &priv->late_work, msecs_to_jiffies(delay));
}

/* In the order they were sent: a changed delay holds for what comes behind, too. */
void dms_late_work(struct work_struct *work)
{
	struct dms_priv *priv = container_of(work, struct dms_priv, late_work.work);
	struct sk_buff *skb;

	while ((skb = skb_dequeue(&priv->late))) {
		if (time_before(jiffies, DMS_CB(skb)->due)) {
			unsigned long wait = DMS_CB(skb)->due - jiffies;

			skb_queue_head(&priv->late, skb);
			queue_delayed_work(system_percpu_wq, &priv->late_work, wait);
			return;
		}
		dms_tx_free(skb, 0);
	}
}

/* Completes at once what is held back. */
void dms_late_flush(struct dms_priv *priv)
{
	struct sk_buff *skb;

	cancel_delayed_work_sync(&priv->late_work);
	while ((skb = skb_dequeue(&priv->late)))
		dms_tx_free(skb, 0);
}

static void dms_tx_count(struct dms_txq *txq, const struct sk_buff *skb,
			 const struct dms_frame *frame)
{
	struct dms_tx_stats *stats = &txq->stats;
	unsigned int segments = 1, bytes = skb->len;

	if (skb_is_gso(skb)) {
		segments = skb_shinfo(skb)->gso_segs;
		bytes += (segments - 1) * frame->header_len;
	}
	u64_stats_update_begin(&stats->syncp);
	u64_stats_add(&stats->packets, segments);
	u64_stats_add(&stats->bytes, bytes);
	if (skb_is_gso(skb)) {
		u64_stats_inc(&stats->gso_packets);
		u64_stats_add(&stats->gso_bytes, skb->len);
		u64_stats_add(&stats->gso_wire_packets, segments);
	}
	if (skb->ip_summed == CHECKSUM_PARTIAL)
		u64_stats_inc(&stats->needs_csum);
	if (!skb_frags_readable(skb))
		u64_stats_inc(&stats->netmem);
	u64_stats_update_end(&stats->syncp);
}

static netdev_tx_t dms_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct dms_priv *priv = netdev_priv(dev), *peer = priv->peer;
	u16 index = skb_get_queue_mapping(skb), to;
	struct dms_txq *txq = &priv->txq[index];
	struct netdev_queue *queue = netdev_get_tx_queue(dev, index);
	struct dms_frame *frame = &DMS_CB(skb)->frame;
	struct dms_tuple tuple;

	BUILD_BUG_ON(sizeof(struct dms_cb) > sizeof(skb->cb));
	dms_frame_parse(skb, frame, &tuple);
	/* The core cuts what is none of our offloads; this is for what is malformed. */
	if (unlikely(skb_is_gso(skb) && !frame->tcp))
		goto drop;
	to = dms_steer(peer, frame, &tuple);
	if (to == dms_no_queue)
		goto drop;
	skb_tx_timestamp(skb);
	/* All of it before the receiver may free the frame. */
	dms_tx_count(txq, skb, frame);
	atomic_inc(&txq->in_flight);
	if (dms_tx_ring_full(priv, txq)) {
		netif_tx_stop_queue(queue);
		dms_count(&txq->stats, stop, 1);
		/* Pairs with dms_tx_free(): either it sees the stop, or we its count. */
		smp_mb__after_atomic();
		if (!dms_tx_ring_full(priv, txq)) {
			netif_tx_start_queue(queue);
			dms_count(&txq->stats, wake, 1);
		}
	}
	if (!dms_wire_put(&peer->rxq[to], skb)) {
		dms_count(&txq->stats, drops, 1);
		dms_tx_free(skb, 0);
	}
	return NETDEV_TX_OK;

drop:
	dms_count(&txq->stats, drops, 1);
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

static int dms_open(struct net_device *dev)
{
	struct dms_priv *priv = netdev_priv(dev);
	int err;

	err = dms_queues_open(priv, 0, dev->real_num_rx_queues);
	if (err)
		return err;
	netif_tx_start_all_queues(dev);
	if (netif_running(priv->peer->dev)) {
		netif_carrier_on(dev);
		netif_carrier_on(priv->peer->dev);
	}
	return 0;
}

static int dms_stop(struct net_device *dev)
{
	struct dms_priv *priv = netdev_priv(dev);

	netif_carrier_off(dev);
	netif_carrier_off(priv->peer->dev);
	netif_tx_disable(dev);
	dms_queues_close(priv, 0, dev->real_num_rx_queues);
	dms_late_flush(priv);
	return 0;
}

static const struct net_device_ops dms_netdev_ops = {
	.ndo_open		= dms_open,
	.ndo_stop		= dms_stop,
	.ndo_start_xmit		= dms_start_xmit,
	.ndo_get_stats64	= dms_get_stats64,
	.ndo_set_mac_address	= eth_mac_addr,
	.ndo_validate_addr	= eth_validate_addr,
};

void dms_netdev_setup(struct net_device *dev)
{
	ether_setup(dev);
	eth_hw_addr_random(dev);
	dev->netdev_ops = &dms_netdev_ops;
	dev->ethtool_ops = dms_ethtool_ops();
	dev->stat_ops = &dms_stat_ops;
	/* From here on the core holds the instance lock around control operations. */
	dev->queue_mgmt_ops = &dms_queue_mgmt_ops;
	dev->max_mtu = ETH_MAX_MTU;
	/* skb->cb of a frame is ours while it is on the wire. */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	/*
	 * The core can neither sum up nor gather what it cannot read: device memory
	 * needs all of these. With rx-gro-hw a TSO frame arrives as one packet,
	 * without it cut into those of the wire.
	 */
	dev->hw_features = NETIF_F_SG | NETIF_F_HIGHDMA | NETIF_F_HW_CSUM | NETIF_F_RXCSUM |
			   NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN | NETIF_F_GRO_HW |
			   NETIF_F_RXHASH | NETIF_F_NTUPLE;
	if (!dms_spreads)
		dev->hw_features &= ~NETIF_F_RXHASH;
	if (!dms_has_rules)
		dev->hw_features &= ~NETIF_F_NTUPLE;
	dev->features = dev->hw_features;
	dev->vlan_features = NETIF_F_SG | NETIF_F_HIGHDMA | NETIF_F_HW_CSUM;
	dev->netmem_tx = NETMEM_TX_DMA;
}
