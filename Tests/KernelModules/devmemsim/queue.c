// SPDX-License-Identifier: GPL-2.0
#include <linux/log2.h>
#include <linux/rtnetlink.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>

#include "devmemsim.h"

/* What a queue gives up or takes over when it is restarted with other memory. */
struct dms_queue_mem {
	struct page_pool	*pool;
	u32			page_size;
};

static int dms_poll(struct napi_struct *napi, int budget)
{
	struct dms_rxq *rxq = container_of(napi, struct dms_rxq, napi);
	struct sk_buff *skb;
	int done = 0;

	while (done < budget && (skb = skb_dequeue(&rxq->wire))) {
		done += dms_receive(rxq, skb);
		dms_tx_complete(skb, budget);
	}
	/* A frame of several segments may have gone over it. */
	done = min(done, budget);
	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

/* Takes the frame and returns true, unless the queue is closed. */
bool dms_wire_put(struct dms_rxq *rxq, struct sk_buff *skb)
{
	unsigned long flags;
	bool open;

	spin_lock_irqsave(&rxq->wire.lock, flags);
	open = rxq->open;
	if (open)
		__skb_queue_tail(&rxq->wire, skb);
	spin_unlock_irqrestore(&rxq->wire.lock, flags);
	if (open)
		napi_schedule(&rxq->napi);
	return open;
}

static int dms_pool_create(struct dms_priv *priv, struct netdev_queue_config *qcfg,
			   struct dms_queue_mem *mem, int index)
{
	struct page_pool_params params = {
		.order		= ilog2(qcfg->rx_page_size >> PAGE_SHIFT),
		.pool_size	= priv->rx_pending,
		.nid		= NUMA_NO_NODE,
		.dev		= priv->dma,
		.dma_dir	= DMA_FROM_DEVICE,
		.max_len	= qcfg->rx_page_size,
		.netdev		= priv->dev,
		.queue_idx	= index,
		.flags		= PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV,
	};
	struct page_pool *pool;

	/* Without split the CPU must see what comes. */
	if (priv->split)
		params.flags |= PP_FLAG_ALLOW_UNREADABLE_NETMEM;
	/*
	 * Without NAPI: the old pool may still be in use by it. Recycling into
	 * the new one's cache is allowed when the queue starts.
	 */
	pool = page_pool_create(&params);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	mem->pool = pool;
	mem->page_size = qcfg->rx_page_size;
	return 0;
}

static void dms_queue_start(struct dms_rxq *rxq, struct dms_queue_mem *mem)
{
	rxq->pool = mem->pool;
	rxq->page_size = mem->page_size;
	page_pool_enable_direct_recycling(rxq->pool, &rxq->napi);
	napi_enable_locked(&rxq->napi);
	spin_lock_irq(&rxq->wire.lock);
	rxq->open = true;
	spin_unlock_irq(&rxq->wire.lock);
	/* Frames may have waited for the restart. */
	local_bh_disable();
	napi_schedule(&rxq->napi);
	local_bh_enable();
}

static void dms_queue_stop(struct dms_rxq *rxq, struct dms_queue_mem *mem)
{
	napi_disable_locked(&rxq->napi);
	page_pool_disable_direct_recycling(rxq->pool);
	mem->pool = rxq->pool;
	mem->page_size = rxq->page_size;
	rxq->pool = NULL;
}

/* Opens queues from <= i < to; all or none. Under the instance lock. */
int dms_queues_open(struct dms_priv *priv, unsigned int from, unsigned int to)
{
	struct dms_queue_mem mem[DMS_MAX_QUEUES] = {};
	struct netdev_queue_config qcfg;
	unsigned int i;
	int err;

	for (i = from; i < to; i++) {
		netdev_queue_config(priv->dev, i, &qcfg);
		err = dms_pool_create(priv, &qcfg, &mem[i], i);
		if (err) {
			while (i-- > from)
				page_pool_destroy(mem[i].pool);
			return err;
		}
	}
	for (i = from; i < to; i++) {
		struct dms_rxq *rxq = &priv->rxq[i];

		netif_napi_add_config_locked(priv->dev, &rxq->napi, dms_poll, i);
		netif_queue_set_napi(priv->dev, i, NETDEV_QUEUE_TYPE_RX, &rxq->napi);
		dms_queue_start(rxq, &mem[i]);
	}
	return 0;
}

/* Closes them; what is under way to them is lost. Under the instance lock. */
void dms_queues_close(struct dms_priv *priv, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		struct dms_rxq *rxq = &priv->rxq[i];
		struct dms_queue_mem mem;
		struct sk_buff *skb;

		spin_lock_irq(&rxq->wire.lock);
		rxq->open = false;
		spin_unlock_irq(&rxq->wire.lock);
		dms_queue_stop(rxq, &mem);
		if (i < priv->dev->real_num_rx_queues)
			netif_queue_set_napi(priv->dev, i, NETDEV_QUEUE_TYPE_RX, NULL);
		netif_napi_del_locked(&rxq->napi);
		page_pool_destroy(mem.pool);
		while ((skb = skb_dequeue(&rxq->wire)))
			dms_tx_complete(skb, 0);
	}
}

static int dms_ndo_queue_mem_alloc(struct net_device *dev, struct netdev_queue_config *qcfg,
				   void *per_queue_mem, int idx)
{
	return dms_pool_create(netdev_priv(dev), qcfg, per_queue_mem, idx);
}

static void dms_ndo_queue_mem_free(struct net_device *dev, void *per_queue_mem)
{
	struct dms_queue_mem *mem = per_queue_mem;

	page_pool_destroy(mem->pool);
}

static int dms_ndo_queue_start(struct net_device *dev, struct netdev_queue_config *qcfg,
			       void *per_queue_mem, int idx)
{
	struct dms_priv *priv = netdev_priv(dev);

	dms_queue_start(&priv->rxq[idx], per_queue_mem);
	return 0;
}

/* The wire stays open: what arrives now waits for the start. */
static int dms_ndo_queue_stop(struct net_device *dev, void *per_queue_mem, int idx)
{
	struct dms_priv *priv = netdev_priv(dev);

	dms_queue_stop(&priv->rxq[idx], per_queue_mem);
	return 0;
}

static void dms_ndo_default_qcfg(struct net_device *dev, struct netdev_queue_config *qcfg)
{
	qcfg->rx_page_size = PAGE_SIZE;
}

static int dms_ndo_validate_qcfg(struct net_device *dev, struct netdev_queue_config *qcfg,
				 struct netlink_ext_ack *extack)
{
	if (!is_power_of_2(qcfg->rx_page_size) || qcfg->rx_page_size < PAGE_SIZE ||
	    qcfg->rx_page_size > DMS_MAX_RX_PAGE) {
		NL_SET_ERR_MSG_FMT(extack, "rx-page-size must be a power of 2 from %lu to %lu",
				   PAGE_SIZE, DMS_MAX_RX_PAGE);
		return -EINVAL;
	}
	return 0;
}

const struct netdev_queue_mgmt_ops dms_queue_mgmt_ops = {
	.ndo_queue_mem_size	= sizeof(struct dms_queue_mem),
	.ndo_queue_mem_alloc	= dms_ndo_queue_mem_alloc,
	.ndo_queue_mem_free	= dms_ndo_queue_mem_free,
	.ndo_queue_start	= dms_ndo_queue_start,
	.ndo_queue_stop		= dms_ndo_queue_stop,
	.ndo_default_qcfg	= dms_ndo_default_qcfg,
	.ndo_validate_qcfg	= dms_ndo_validate_qcfg,
	.supported_params	= QCFG_RX_PAGE_SIZE,
};
