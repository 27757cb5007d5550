"""Who is compared, behind one interface: an executor class made with a number of workers."""

import concurrent.futures

import ringpool

RIVALS = {
    "ringpool": ringpool.ThreadPoolExecutor,
    "stdlib": concurrent.futures.ThreadPoolExecutor,
}
