// SPDX-License-Identifier: GPL-2.0
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/rtnetlink.h>

#include "devmemsim.h"

static unsigned int queues = DMS_DEFAULT_QUEUES;
module_param(queues, uint, 0444);
MODULE_PARM_DESC(queues, "channels of each device at the start, 1 to 16 (default 4)");

bool dms_spreads = true;
module_param_named(spreads, dms_spreads, bool, 0444);
MODULE_PARM_DESC(spreads, "receive side scaling (default on); else all but rules goes to queue 0");

bool dms_has_rules = true;
module_param_named(rules, dms_has_rules, bool, 0444);
MODULE_PARM_DESC(rules, "n-tuple rules (default on)");

static struct platform_device *parent;
static struct net_device *devices[2];

static struct net_device *dms_create(void)
{
	struct net_device *dev;
	struct dms_priv *priv;
	int err;

	dev = alloc_netdev_mqs(sizeof(*priv), "dmsim%d", NET_NAME_ENUM, dms_netdev_setup,
			       DMS_MAX_QUEUES, DMS_MAX_QUEUES);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	priv = netdev_priv(dev);
	priv->dev = dev;
	priv->dma = &parent->dev;
	priv->rx_pending = DMS_RING_DEFAULT;
	priv->tx_pending = DMS_RING_DEFAULT;
	skb_queue_head_init(&priv->late);
	INIT_DELAYED_WORK(&priv->late_work, dms_late_work);
	for (int i = 0; i < DMS_MAX_QUEUES; i++) {
		priv->rxq[i].priv = priv;
		priv->rxq[i].index = i;
		skb_queue_head_init(&priv->rxq[i].wire);
	}
	dms_stats_init(priv);
	SET_NETDEV_DEV(dev, &parent->dev);
	err = dms_steering_init(priv);
	if (!err)
		err = netif_set_real_num_queues(dev, queues, queues);
	if (err) {
		dms_steering_exit(priv);
		free_netdev(dev);
		return ERR_PTR(err);
	}
	dms_steering_default(priv, queues);
	netif_carrier_off(dev);
	return dev;
}

static void dms_destroy(struct net_device *dev)
{
	struct dms_priv *priv = netdev_priv(dev);

	dms_late_flush(priv);
	dms_steering_exit(priv);
	free_netdev(dev);
}

/*
 * The device that DMA addresses belong to. The core has no reference to it for a
 * dma-buf that is bound, and takes that apart whenever the last buffer is back and
 * the last socket closed, which may be long after this module is gone. So it is
 * made once and stays; whoever loads the module again finds it.
 */
static int dms_get_parent(void)
{
	struct device *found;
	int err;

	found = bus_find_device_by_name(&platform_bus_type, NULL, DMS_NAME);
	if (found) {
		parent = to_platform_device(found);
		return 0;
	}
	parent = platform_device_register_simple(DMS_NAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(parent))
		return PTR_ERR(parent);
	/*
	 * All of memory: with the 32 bits that a platform device begins with,
	 * pages above 4 GiB would be bounced and a dma-buf's payload lost.
	 */
	err = dma_set_mask_and_coherent(&parent->dev, DMA_BIT_MASK(64));
	if (err) {
		platform_device_unregister(parent);
		return err;
	}
	get_device(&parent->dev);
	return 0;
}

static int __init dms_init(void)
{
	struct dms_priv *priv[2];
	int i, err;

	if (!queues || queues > DMS_MAX_QUEUES)
		return -EINVAL;
	err = dms_get_parent();
	if (err)
		return err;
	for (i = 0; i < 2; i++) {
		devices[i] = dms_create();
		if (IS_ERR(devices[i])) {
			err = PTR_ERR(devices[i]);
			goto err_destroy;
		}
		priv[i] = netdev_priv(devices[i]);
	}
	priv[0]->peer = priv[1];
	priv[1]->peer = priv[0];
	err = dms_fence_create();
	if (err)
		goto err_destroy;
	dms_faults_create();
	for (int n = 0; n < 2; n++) {
		err = register_netdev(devices[n]);
		if (err) {
			if (n)
				unregister_netdev(devices[0]);
			dms_faults_destroy();
			dms_fence_destroy();
			goto err_destroy;
		}
		dms_faults_add(priv[n], n);
	}
	return 0;

err_destroy:
	while (i--)
		dms_destroy(devices[i]);
	put_device(&parent->dev);
	return err;
}

static void __exit dms_exit(void)
{
	dms_faults_destroy();
	dms_fence_destroy();
	/* Frames of one may wait at the other: no memory goes before both are down. */
	unregister_netdev(devices[0]);
	unregister_netdev(devices[1]);
	dms_destroy(devices[0]);
	dms_destroy(devices[1]);
	put_device(&parent->dev);
}

module_init(dms_init);
module_exit(dms_exit);

MODULE_DESCRIPTION("A pair of network devices in software with device memory TCP, for tests");
MODULE_LICENSE("GPL");
