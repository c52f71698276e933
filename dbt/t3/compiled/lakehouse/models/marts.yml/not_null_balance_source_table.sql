
    
    



select source_table
from "y"."stats"."balance"
where source_table is null


