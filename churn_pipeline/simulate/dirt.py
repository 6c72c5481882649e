from churn_pipeline.simulate.simulation import Simulation
import pyarrow as pa
def soil(simulation: Simulation, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    return tables
