/** A worker whose module fails. */
throw new Error("thrown at start");
