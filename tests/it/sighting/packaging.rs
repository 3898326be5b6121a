//! The wrapper for Flowmon ADS.
