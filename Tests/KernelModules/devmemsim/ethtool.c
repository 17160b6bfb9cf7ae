// SPDX-License-Identifier: GPL-2.0
#include <linux/ethtool.h>
#include <linux/module.h>
#include <net/netdev_lock.h>
#include <net/netdev_rx_queue.h>

#include "devmemsim.h"

MODULE_IMPORT_NS("NETDEV_INTERNAL");

/* The core asks the driver of the parent, which has none. */
static void dms_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, DMS_NAME, sizeof(info->driver));
	strscpy(info->bus_info, dev_name(dev->dev.parent), sizeof(info->bus_info));
}

static void dms_get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			      struct kernel_ethtool_ringparam *kernel_ring,
			      struct netlink_ext_ack *extack)
{
	struct dms_priv *priv = netdev_priv(dev);

	ring->rx_max_pending = DMS_RING_MAX;
	ring->tx_max_pending = DMS_RING_MAX;
	ring->rx_pending = priv->rx_pending;
	ring->tx_pending = priv->tx_pending;
	kernel_ring->hds_thresh_max = DMS_HDS_THRESH_MAX;
	/* Nobody has chosen: then there is no split. */
	if (kernel_ring->tcp_data_split == ETHTOOL_TCP_DATA_SPLIT_UNKNOWN)
		kernel_ring->tcp_data_split = ETHTOOL_TCP_DATA_SPLIT_DISABLED;
}

static int dms_restart_queues(struct net_device *dev)
{
	if (!netif_running(dev))
		return 0;
	for (int i = 0; i < dev->real_num_rx_queues; i++) {
		int err = netdev_rx_queue_restart(dev, i);

		if (err)
			return err;
	}
	return 0;
}

static int dms_set_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			     struct kernel_ethtool_ringparam *kernel_ring,
			     struct netlink_ext_ack *extack)
{
	struct dms_priv *priv = netdev_priv(dev);
	u32 rx_before = priv->rx_pending;
	int err = 0;

	if (ring->rx_pending < DMS_RING_MIN || ring->tx_pending < DMS_RING_MIN) {
		NL_SET_ERR_MSG_FMT(extack, "a ring has at least %d entries", DMS_RING_MIN);
		return -EINVAL;
	}
	/* The ring of a page pool has its size from the start. */
	if (ring->rx_pending != rx_before) {
		priv->rx_pending = ring->rx_pending;
		err = dms_restart_queues(dev);
	}
	if (err) {
		NL_SET_ERR_MSG(extack, "no memory for receive rings of that size");
		priv->rx_pending = rx_before;
		return err;
	}
	WRITE_ONCE(priv->tx_pending, ring->tx_pending);
	WRITE_ONCE(priv->split, kernel_ring->tcp_data_split == ETHTOOL_TCP_DATA_SPLIT_ENABLED);
	WRITE_ONCE(priv->hds_thresh, kernel_ring->hds_thresh);
	return 0;
}

static void dms_get_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	channels->max_combined = DMS_MAX_QUEUES;
	channels->combined_count = dev->real_num_rx_queues;
}

/* Under rtnl and the instance lock. */
static int dms_set_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	unsigned int before = dev->real_num_rx_queues, after = channels->combined_count;
	struct dms_priv *priv = netdev_priv(dev);
	bool running = netif_running(dev);
	int err;

	err = netif_set_real_num_queues(dev, after, after);
	if (err)
		return err;
	if (running && after > before) {
		err = dms_queues_open(priv, before, after);
		if (err) {
			netif_set_real_num_queues(dev, before, before);
			return err;
		}
		netif_tx_start_all_queues(dev);
	}
	/* No new frame is steered to them any more, and those under way are lost. */
	if (running && after < before)
		dms_queues_close(priv, after, before);
	if (!netif_is_rxfh_configured(dev))
		dms_steering_default(priv, after);
	return 0;
}

static u32 dms_get_rx_ring_count(struct net_device *dev)
{
	return dev->real_num_rx_queues;
}

static u32 dms_get_rxfh_key_size(struct net_device *dev)
{
	return DMS_KEY_SIZE;
}

static u32 dms_get_rxfh_indir_size(struct net_device *dev)
{
	return DMS_INDIR_SIZE;
}

static const struct ethtool_ops dms_all_ethtool_ops = {
	.supported_ring_params	= ETHTOOL_RING_USE_TCP_DATA_SPLIT | ETHTOOL_RING_USE_HDS_THRS,
	.op_needs_rtnl		= ETHTOOL_OP_NEEDS_RTNL_SCHANNELS | ETHTOOL_OP_NEEDS_RTNL_GLINK,
	.rxfh_indir_space	= DMS_INDIR_SIZE,
	.rxfh_key_space		= DMS_KEY_SIZE,
	.rxfh_max_num_contexts	= DMS_MAX_CONTEXTS,
	.get_drvinfo		= dms_get_drvinfo,
	.get_link		= ethtool_op_get_link,
	.get_ts_info		= ethtool_op_get_ts_info,
	.get_ringparam		= dms_get_ringparam,
	.set_ringparam		= dms_set_ringparam,
	.get_channels		= dms_get_channels,
	.set_channels		= dms_set_channels,
	.get_sset_count		= dms_get_sset_count,
	.get_strings		= dms_get_strings,
	.get_ethtool_stats	= dms_get_ethtool_stats,
	.get_rx_ring_count	= dms_get_rx_ring_count,
	.get_rxnfc		= dms_get_rxnfc,
	.set_rxnfc		= dms_set_rxnfc,
	.get_rxfh_key_size	= dms_get_rxfh_key_size,
	.get_rxfh_indir_size	= dms_get_rxfh_indir_size,
	.get_rxfh		= dms_get_rxfh,
	.set_rxfh		= dms_set_rxfh,
	.get_rxfh_fields	= dms_get_rxfh_fields,
	.create_rxfh_context	= dms_create_rxfh_context,
	.modify_rxfh_context	= dms_modify_rxfh_context,
	.remove_rxfh_context	= dms_remove_rxfh_context,
};

static struct ethtool_ops dms_some_ethtool_ops;

/* Of a card that lacks what the module's parameters say. */
const struct ethtool_ops *dms_ethtool_ops(void)
{
	struct ethtool_ops *ops = &dms_some_ethtool_ops;

	*ops = dms_all_ethtool_ops;
	if (!dms_spreads) {
		ops->rxfh_indir_space = 0;
		ops->rxfh_key_space = 0;
		ops->rxfh_max_num_contexts = 0;
		ops->get_rxfh_key_size = NULL;
		ops->get_rxfh_indir_size = NULL;
		ops->get_rxfh = NULL;
		ops->set_rxfh = NULL;
		ops->get_rxfh_fields = NULL;
		ops->create_rxfh_context = NULL;
		ops->modify_rxfh_context = NULL;
		ops->remove_rxfh_context = NULL;
	}
	if (!dms_has_rules) {
		ops->get_rxnfc = NULL;
		ops->set_rxnfc = NULL;
	}
	return ops;
}
